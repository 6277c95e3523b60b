# SPDX-License-Identifier: Apache-2.0
"""What a map over a process and a call ask of the system, and what a call takes: guards that need no clock."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

import actorpool
from actorpool._backends import _process, _sent_ahead
from actorpool._core import _lookahead
from actorpool._wire._connection import Connection
from tests.guards.counting import calls_counted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

app = actorpool.App("tests-traffic")


@app.function(backend="process", max_containers=1)
def no_op(x: int) -> int:
    return x


class CountedSocket:
    """A socket whose calls are counted."""

    def __init__(self, sock: socket.socket, calls: Counter[str]) -> None:
        self._sock = sock
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls[name] += 1
        return getattr(self._sock, name)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What this side asks of the sockets of process containers; and inputs are short, whatever the machine does."""
    counted: Counter[str] = Counter()

    class Counted(Connection):
        def __init__(self, sock: socket.socket, wake: Callable[[], object]) -> None:
            super().__init__(CountedSocket(sock, counted), wake)  # type: ignore[arg-type]

    monkeypatch.setattr(_process, "Connection", Counted)
    for module, name in ((_lookahead, "_AHEAD_S"), (_lookahead, "_ONE_S"), (_sent_ahead, "SILENCE_S")):
        monkeypatch.setattr(module, name, 1_000.0)
    monkeypatch.setattr(_lookahead, "SILENCE_S", 1_000.0)
    return counted


def test_a_map_over_a_process_writes_many_inputs_at_a_time(calls: Counter[str]) -> None:
    n = 2_000
    with app.run():
        # The first one waits for the process to start.
        assert 1 == no_op.remote(1)
        calls.clear()
        assert list(range(n)) == list(no_op.map(range(n)))
        written, read = calls["send"] + calls["sendmsg"], calls["recvmsg_into"]

    # Counted: 15 and 17.
    assert written <= n / 50, calls
    # While there is more to do, results share a write; a turn of the loop reads all that have come.
    assert read <= n / 50, calls


def test_one_call_is_one_write_and_one_read(calls: Counter[str]) -> None:
    with app.run():
        assert 1 == no_op.remote(1)
        calls.clear()
        for x in range(100):
            assert x == no_op.remote(x)
        written, read = calls["send"] + calls["sendmsg"], calls["recvmsg_into"]

    assert 100 == written, calls
    assert read <= 110, calls


def test_one_call_takes_so_many_function_calls_of_its_callers_thread() -> None:
    n = 100
    python, c = [0] * (n + 1), [0] * (n + 1)
    with app.run():
        for x in range(n):
            assert x == no_op.remote(x)
        with calls_counted() as counted:
            for x in range(n):
                python[x], c[x] = counted.python, counted.c
                no_op.remote(x)
            python[n], c[n] = counted.python, counted.c
    # Of each call; on a busy machine the loop may not be done with one when the next one comes, which takes more.
    # It was 53 and 48.
    assert median(after - before for before, after in pairwise(python)) <= 38
    assert median(after - before for before, after in pairwise(c)) <= 39
