# SPDX-License-Identifier: Apache-2.0
"""What a template does before it forks: it runs through a container's life, of which nothing is left but memory."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading

from actorpool._backends import _inside
from actorpool._backends._rehearsal import rehearse


def descriptors() -> set[str]:
    """Return this process's descriptors."""
    return set(os.listdir("/dev/fd"))


def test_every_input_of_it_ends() -> None:
    assert 2 == rehearse()


def test_it_leaves_no_thread_and_no_descriptor() -> None:
    # What the first one in a process opens for good, such as the source of random numbers.
    rehearse()
    threads, before = set(threading.enumerate()), descriptors()
    rehearse()
    assert before == descriptors()
    assert threads == set(threading.enumerate())


def test_it_leaves_the_process_as_it_was() -> None:
    def facts() -> tuple[object, ...]:
        root = logging.getLogger()
        return (
            (sys.stdout, sys.stderr, logging.lastResort, root.level, list(root.handlers)),
            (list(_inside._kind), list(_inside._ports), asyncio._get_running_loop()),
        )

    before = facts()
    rehearse()
    assert before == facts()
