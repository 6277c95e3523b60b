# SPDX-License-Identifier: Apache-2.0
"""Whoever is killed, each input has its one outcome, and no process, descriptor or shared memory is left."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from actorpool.exception import ContainerDiedError, FunctionTimeoutError
from tests.backends import process_app as users
from tests.backends.process_app import app
from tests.backends.processes import children_of, containers

pytestmark = pytest.mark.timeout(60)

# How long a process may live on after its parent, in seconds.
ORPHAN_S = 2.0


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_containers_killed_at_random_lose_no_input_and_yield_none_twice() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    chance = random.Random(1)
    kills = 0
    results: list[int] = []

    with app.run():
        for result in users.slow_square.map(range(1_500)):
            results.append(result)
            # Seldom enough for some containers to get past their start.
            if not len(results) % 100 and (alive := containers()):
                try:
                    os.kill(chance.choice(alive), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                kills += 1
        statistics = users.slow_square.statistics()

    assert [x * x for x in range(1_500)] == results
    assert (1_500, 0) == (statistics.succeeded, statistics.failed)
    assert kills >= 3
    assert [] == containers()
    assert {} == children_of({os.getpid()})
    assert descriptors == len(os.listdir("/proc/self/fd"))


def test_a_container_that_dies_is_logged_with_the_way_it_died(caplog: pytest.LogCaptureFixture) -> None:
    with app.run():
        process = users.where.remote()[0]
        os.kill(process, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not caplog.records:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    (record,) = caplog.records
    # It had run an input before, so that nothing waits.
    assert "container where/1 died" == record.getMessage()
    assert record.exc_info is not None
    assert "signal 9 (SIGKILL)" in str(record.exc_info[1])


@pytest.mark.parametrize("how", ["return", "exit", "overrun"])
def test_what_a_container_has_started_ends_with_it(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "actorpool.output")
    with app.run(grace=0.2):
        if how == "return":
            ends, stays = users.start_others.remote(how)
            assert is_alive(ends)
        else:
            with pytest.raises(ContainerDiedError if how == "exit" else FunctionTimeoutError):
                users.start_others.remote(how)
            ends, stays = map(int, caplog.messages[0].split()[1:])
            deadline = time.monotonic() + 10
            while users.start_others.statistics().containers:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    try:
        # It was killed before its container was reaped; a loaded machine may take a moment to carry that out.
        deadline = time.monotonic() + 10
        while is_alive(ends):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert is_alive(stays)
    finally:
        os.kill(stays, signal.SIGKILL)


def test_the_template_may_be_killed_and_another_one_is_made() -> None:
    with app.run():
        first = users.where.remote()[0]
        (template,) = children_of({os.getpid()})
        os.kill(template, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while users.where.statistics().containers:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert first != users.where.remote()[0]


def test_what_containers_have_started_ends_although_their_template_was_killed() -> None:
    with app.run():
        ends, stays = users.start_others.remote("return")
        (template,) = children_of({os.getpid()})
        os.kill(template, signal.SIGKILL)
        deadline = time.monotonic() + 10
        try:
            while is_alive(ends):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert is_alive(stays)
        finally:
            os.kill(stays, signal.SIGKILL)


def test_when_the_parent_is_killed_nothing_is_left_within_two_seconds() -> None:
    program = (
        "import sys, time\n"
        "from tests.backends.process_app import app, slow_square, start_others, nap, where\n"
        "with app.run():\n"
        "    print(where.remote()[0], flush=True)\n"
        "    print(start_others.remote('return')[0], flush=True)\n"
        "    [nap.spawn(60) for _ in range(2)]\n"
        "    list(slow_square.map(range(20)))\n"
        "    print('running', flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline().strip().isdigit()
        other = int(parent.stdout.readline())
        assert "running" == parent.stdout.readline().strip()
        templates = set(children_of({parent.pid}))
        its_containers = children_of(templates)
        assert len(its_containers) > 2
        assert is_alive(other)
        parent.kill()
        killed_at = time.monotonic()
        # The template and `other` have nobody but the system's first process to reap them, which takes its time.
        while any(is_alive(pid) for pid in {other, *templates}) or any(
            os.path.exists(f"/proc/{pid}") for pid in its_containers
        ):
            assert time.monotonic() - killed_at < ORPHAN_S
            time.sleep(0.01)
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()
