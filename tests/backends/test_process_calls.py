# SPDX-License-Identifier: Apache-2.0
"""Code in a process container calls functions of its app, and others, as code in the app's own process does."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._context import current_input
from tests.backends import calling_app as users
from tests.backends.calling_app import app, other

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


ON_ASYNCIO = pytest.mark.parametrize("host_name", ["asyncio"])


@pytest.fixture(params=["asyncio", "trio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_verb_does_in_a_process_what_it_does_here(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            for function in (users.run_sync, users.run_async):
                caller, (local_pid, local), (far_pid, far) = await function.remote.aio("remote", 3)
                assert (6, 8) == (local, far)
                assert os.getpid() == local_pid
                assert len({caller, local_pid, far_pid}) == 3

                expected = [2 * x for x in range(1_500)]
                mapped = await function.remote.aio("map", 1_500)
                assert [expected, expected, [2, 4], None, ["Refusal", "Refusal"]] == mapped

                spawned = await function.remote.aio("spawn")
                assert (8, [0, 2, 4, 6, 8], sum(range(600)) * 2, 600, 14, True) == spawned

                streamed = await function.remote.aio("generate", 3_000)
                assert (list(range(3_000)), list(range(3_000))) == streamed

    run(main)


@ON_ASYNCIO
def test_errors_arrive_by_type_with_their_tracebacks(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            for function, far in product((users.run_sync, users.run_async), (False, True)):
                with pytest.raises(users.Refusal) as caught:
                    await function.remote.aio("error", far)
                error = caught.value
                assert (8 if far else 7) == error.code
                # Who raised it, and who passed it on.
                assert ["refuse'", "'run_"] == [
                    word for note in error.__notes__ for word in ("refuse'", "'run_") if word in note
                ]
                shown = "".join(traceback.format_exception(error))
                assert "do_error" in shown

    run(main)


@ON_ASYNCIO
def test_classes_and_names_lead_to_their_pools(run: Run) -> None:
    async def main() -> Any:
        await other.deploy.aio()
        try:
            async with app.run():
                names = await users.run_sync.remote.aio("names")
                return names, await users.run_sync.remote.aio("classes")
        finally:
            await other.stop.aio()

    (found, variant, missing), (*sold, no_class) = run(main)
    assert (2, 8) == (found, variant)
    assert "'nothing'" in missing
    assert [("Bonn", "tea"), ("Kiel", "salt"), ("Jena", "milk"), ("Bern", "ham")] == sold
    assert "class 'Nobody'" in no_class


def test_an_input_that_was_sent_ahead_is_the_caller_of_what_it_calls() -> None:
    app = modal.App("calling-ahead", backend="process")
    callers: list[str] = []

    @app.function(backend="local")
    def inner() -> None:
        caller = current_input.get()
        assert caller is not None
        callers.append(str(caller.parent and caller.parent.target))

    @app.function(max_containers=1)
    def middle(x: int) -> int:
        if not x % 2:
            inner.spawn()
        return x

    with app.run():
        assert list(range(400)) == list(middle.map(range(400)))

    assert ["middle"] * 200 == callers
