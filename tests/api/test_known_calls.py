# SPDX-License-Identifier: Apache-2.0
"""Calls found again by their id, and how long their results are kept for that."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool import FunctionCall
from actorpool._actors._identity import CallIdentity, is_genuine
from actorpool.exception import InvalidError, NotFoundError, OutputExpiredError
from tests.api.clocks import Clock, known_calls_clock
from tests.api.support import event
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]

app = modal.App("known-calls")


class Unlucky(Exception):
    pass


@app.function()
async def wait_for(gate: Any, x: int = 0) -> int:
    await gate.wait()
    if x < 0:
        raise Unlucky(x)
    return x


@app.function()
async def own_call(gate: Any) -> FunctionCall[Any]:
    await gate.wait()
    identity = modal.current_function_call_id()
    assert identity is not None
    return FunctionCall.from_id(identity)


# -- from_id ----------------------------------------------------------------------------------------------


def test_M4_4_M4_5_a_call_is_found_by_its_id(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = wait_for.spawn(gate, 5)
            identity = call.object_id
            assert ("fc-", 27, identity) == (identity[:3], len(identity), call.object_id)
            assert FunctionCall.from_id(identity) is call
            del call
            gc.collect()
            gate.set()
            assert 5 == await FunctionCall.from_id(identity).get.aio()

    run(main)


def test_M4_5_a_function_finds_its_own_call(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = own_call.spawn(gate)
            assert call.object_id == call.object_id
            gate.set()
            assert call is await call.get.aio()

    run(main)


def test_M4_4_only_ids_of_known_calls_are_found() -> None:
    with pytest.raises(NotFoundError, match="no function call 'fc-unknown' is known in this process"):
        FunctionCall.from_id("fc-unknown")
    with pytest.raises(InvalidError, match="'in-5' is not the id of a function call"):
        FunctionCall.from_id("in-5")
    with pytest.raises(InvalidError):
        FunctionCall.from_id(None)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return known_calls_clock(monkeypatch)


def assert_expired(identity: str) -> None:
    """What is found by an id whose results are no longer kept."""
    expired = FunctionCall.from_id(identity)
    assert (identity, True) == (expired.object_id, expired.done)
    assert f"<FunctionCall '{identity}', expired>" == repr(expired)
    asks: list[Callable[[], object]] = [
        expired.get,
        lambda: expired.get(timeout=0),
        expired.iter,
        expired.num_inputs,
        expired.get_call_graph,
        lambda: FunctionCall.gather(expired),
    ]
    for ask in asks:
        with pytest.raises(OutputExpiredError, match=f"'{identity}' are no longer kept"):
            ask()
    # It has ended, so this changes nothing.
    expired.cancel()


def test_M13_2_results_found_by_id_expire_an_hour_after_the_call_has_ended(run: Run, clock: Clock) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            handle = wait_for.spawn(gate, 5)
            identity = handle.object_id
            clock.now += 10_000.0
            assert FunctionCall.from_id(identity) is handle
            gate.set()
            assert 5 == await handle.get.aio()
            clock.now += 3_599.0
            found = FunctionCall.from_id(identity)
            assert 5 == await found.get.aio()
            clock.now += 1.0
            assert_expired(identity)
            with pytest.raises(OutputExpiredError):
                await FunctionCall.from_id(identity).get.aio()
            with pytest.raises(OutputExpiredError):
                await FunctionCall.gather.aio(FunctionCall.from_id(identity))
            # Whoever has a handle has the results.
            assert (5, 5) == (await found.get.aio(), handle.get())
            # And may have them found again.
            assert identity == handle.object_id
            assert FunctionCall.from_id(identity) is handle

    run(main)


def kept_for(**limits: Any) -> tuple[modal.App, Any]:
    app = modal.App("keeps", limits=modal.Limits(**limits))

    @app.function(name="echo")
    async def echo(x: Any) -> Any:
        return x

    return app, echo


def test_of_each_function_the_latest_results_are_kept(run: Run, clock: Clock) -> None:
    app, echo = kept_for(results_kept=3)

    @app.function(name="other")
    async def other() -> int:
        return 7

    async def main() -> None:
        async with app.run():
            kept = other.spawn().object_id
            ids = []
            for x in range(5):
                spawned = echo.spawn(x)
                ids.append(spawned.object_id)
                await spawned.get.aio()
            assert [2, 3, 4] == [FunctionCall.from_id(identity).get() for identity in ids[2:]]
            for identity in ids[:2]:
                assert_expired(identity)
            assert 7 == await FunctionCall.from_id(kept).get.aio()

    run(main)


def test_a_call_counts_as_many_results_as_it_has_and_the_latest_call_is_kept_whole(
    run: Run, clock: Clock
) -> None:
    app, echo = kept_for(results_kept=3)

    async def main() -> None:
        async with app.run():
            first = echo.spawn(1)
            # The one that ends last is the latest.
            await first.get.aio()
            many = await echo.experimental_spawn_map.aio(range(4))
            ids = first.object_id, many.object_id
            assert [0, 1, 2, 3] == [x async for x in many.iter.aio()]
            await settle()
            assert_expired(ids[0])
            assert 3 == await FunctionCall.from_id(ids[1]).get.aio(index=3)
            empty = await echo.experimental_spawn_map.aio([])
            found = FunctionCall.from_id(empty.object_id)
            assert (0, 0) == (found.num_inputs(), await found.num_inputs.aio())
            assert_expired(ids[1])

    run(main)


def test_calls_without_an_end_are_found_however_many_they_are(run: Run, clock: Clock) -> None:
    app, _ = kept_for(results_kept=1, results_kept_s=5.0)

    @app.function(name="stuck")
    async def stuck(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [stuck.spawn(gate) for _ in range(3)]
            ids = [handle.object_id for handle in calls]
            clock.now += 100.0
            assert calls == [FunctionCall.from_id(identity) for identity in ids]
            gate.set()
            for handle in calls:
                await handle.get.aio()
            await settle()
            assert 1 == len(clock.known)
            clock.now += 5.0
            for identity in ids:
                assert_expired(identity)
            assert 0 == len(clock.known)

    run(main)


def test_an_expired_call_lets_go_of_its_result(run: Run, clock: Clock) -> None:
    app, echo = kept_for()

    class Big:
        pass

    async def main() -> None:
        async with app.run():
            handle = echo.spawn(Big())
            identity = handle.object_id
            result = weakref.ref(await handle.get.aio())
            del handle
            await settle()
            gc.collect()
            assert result() is not None
            clock.now += 3_600.0
            assert_expired(identity)
            gc.collect()
            assert result() is None

    run(main)


@pytest.mark.parametrize("identity", ["fc-", "fc-0123456789abcdef01234567", "fc-ü", "fc-" + "0" * 24])
def test_an_id_that_nobody_gave_out_is_not_found(identity: str) -> None:
    with pytest.raises(NotFoundError, match="is known in this process"):
        FunctionCall.from_id(identity)


def test_ids_are_recognised_and_a_changed_one_is_not() -> None:
    ids = [CallIdentity().value for _ in range(100)]
    assert 100 == len(set(ids))
    for identity in ids:
        assert is_genuine(identity)
        for place in (3, 14, 15, 26):
            digit = "0" if identity[place] != "0" else "1"
            assert not is_genuine(identity[:place] + digit + identity[place + 1 :])


# -- ids from inside ---------------------------------------------------------------------------------------


@app.function(name="who")
async def who(gate: Any = None) -> str:
    identity = modal.current_function_call_id()
    assert identity is not None
    if gate is not None:
        await gate.wait()
    return identity


def test_M4_5_a_spawned_call_is_found_by_the_id_it_has_inside_though_nobody_asked_its_handle(
    run: Run, clock: Clock
) -> None:
    async def main() -> None:
        async with app.run():
            handle = who.spawn()
            identity = await handle.get.aio()
            found = FunctionCall.from_id(identity)
            assert identity == await found.get.aio() == handle.object_id == found.object_id
            clock.now += 3_600.0
            assert_expired(identity)

    run(main)


def test_a_spawned_call_whose_handle_is_gone_is_found_too(run: Run, clock: Clock) -> None:
    app = modal.App("my-app")
    inside: list[FunctionCall[Any]] = shared([])

    @app.function()
    async def f(gate: Any) -> int:
        inside.append(FunctionCall.from_id(str(modal.current_function_call_id())))
        await gate.wait()
        return 4

    async def main() -> None:
        async with app.run():
            gate = event()
            f.spawn(gate)
            await settle()
            gc.collect()
            gate.set()
            assert 4 == await inside[0].get.aio()

    run(main)


def test_a_call_of_many_inputs_is_found_from_inside_while_its_handle_is_there(run: Run, clock: Clock) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            handle = await who.experimental_spawn_map.aio([gate] * 2)
            await settle()
            gate.set()
            identity = await handle.get.aio(index=1)
            assert identity == handle.object_id
            assert FunctionCall.from_id(identity) is handle

    run(main)


def test_a_spawned_map_without_a_handle_is_not_kept(run: Run, clock: Clock) -> None:
    app = modal.App("my-app")
    ids: list[str] = shared([])

    @app.function()
    async def f(gate: Any) -> None:
        await gate.wait()
        ids.append(str(modal.current_function_call_id()))

    async def main() -> None:
        async with app.run():
            gate = event()
            await f.spawn_map.aio([gate] * 3)
            gate.set()
            while f.statistics().succeeded < 3:
                await settle()
            (identity,) = set(ids)
            assert_expired(identity)
            assert 0 == len(clock.known)

    run(main)


def test_calls_that_were_not_spawned_are_not_kept(run: Run, clock: Clock) -> None:
    async def main() -> None:
        async with app.run():
            assert_expired(await who.remote.aio())
            (identity,) = [x async for x in who.map.aio([None])]
            assert_expired(identity)
            assert 0 == len(clock.known)

    run(main)


def test_a_batch_is_found_by_the_id_of_its_first_input(run: Run, clock: Clock) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=1000)
    async def f(xs: list[int]) -> list[str | None]:
        return [modal.current_function_call_id() for _ in xs]

    async def main() -> None:
        async with app.run():
            first, second = f.spawn(1), f.spawn(2)
            identity = await second.get.aio()
            assert identity == first.object_id
            assert identity == await FunctionCall.from_id(str(identity)).get.aio()

    run(main)
