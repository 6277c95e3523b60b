# SPDX-License-Identifier: Apache-2.0
"""Mutations of how one who waits is woken: notices that are not given, or not of use; and of what goes ahead."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WAITS = [
    Mutant(
        "_map.py",
        "if self.waiting and (self._awaited is None or input.index <= self._awaited):",
        "if self.waiting and (self._awaited is None or input.index == self._awaited):",
        "a map that sleeps on, because what came was taken before",
        "maps",
    ),
    Mutant(
        "_map.py",
        "self.waiting = True",
        "pass",
        "a map that says to nobody that it waits",
        "maps",
        within="expect",
    ),
    Mutant(
        "_map.py",
        "run.expect()",
        "pass",
        "a map on a loop that says to nobody that it waits",
        "maps",
        within="iterate_async",
    ),
    Mutant(
        "_core/_ordering.py",
        "if self._ordered and self._exhausted and self._queue:",
        "if self._ordered and self._queue:",
        "a map that sleeps on although there is room for another input",
        "maps",
    ),
    Mutant(
        "_core/_lookahead.py",
        "if service_s is None or self._asked_back or service_s > _ONE_S:",
        "if service_s is None or service_s > _ONE_S:",
        "inputs that go ahead while others are asked back",
        "lookahead",
    ),
    Mutant(
        "_core/_lookahead.py",
        "self._asked_back = False",
        "pass",
        "a container that nothing goes ahead to any more",
        "lookahead",
        within="withdrawn",
    ),
    Mutant(
        "_core/_lookahead.py",
        "self._service_s = max(self._service_s or 0.0, silence_s)",
        "pass",
        "inputs that go ahead behind a long one",
        "lookahead",
    ),
    Mutant(
        "_core/_lookahead.py",
        "most = 1 + MOST_BYTES // self._each_bytes",
        "pass",
        "long arguments that go ahead without end",
        "lookahead",
    ),
    Mutant(
        "_host/_bridge.py",
        "self._armed = False",
        "pass",
        "a loop that hears of nothing after an interruption",
        "bridge",
        within="_arm",
    ),
    Mutant(
        "_host/_bridge.py",
        "post_quietly(self, _do_nothing, None)",
        "pass",
        "what was posted behind a callback that leaves the loop, and is forgotten",
        "bridge",
    ),
]
