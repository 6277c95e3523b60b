# SPDX-License-Identifier: Apache-2.0
"""`@batched`: callers give single inputs, the function gets lists."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError, RemoteError, ResourceExhaustedError
from tests.api.support import PATIENCE_S, event, gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


class Unlucky(Exception):
    pass


# -- when a batch runs ------------------------------------------------------------------------------------


def test_M8_3_a_full_batch_runs_at_once(run_virtually: Run) -> None:
    app = modal.App()
    batches: list[tuple[float, list[int]]] = shared([])

    @app.function()
    @modal.batched(max_batch_size=4, wait_ms=60_000)
    async def double(xs: list[int]) -> list[int]:
        batches.append((now(), xs))
        return [2 * x for x in xs]

    async def main() -> None:
        async with app.run():
            start = now()
            assert [2 * x for x in range(8)] == [y async for y in double.map.aio(range(8))]
            # Two containers run them beside each other.
            assert [(0.0, [0, 1, 2, 3]), (0.0, [4, 5, 6, 7])] == sorted(
                (at - start, xs) for at, xs in batches
            )

    run_virtually(main)


def test_M8_3_a_batch_that_is_not_full_runs_when_its_oldest_input_has_waited(run_virtually: Run) -> None:
    app = modal.App()
    batches: list[tuple[float, list[int]]] = shared([])

    @app.function()
    @modal.batched(max_batch_size=10, wait_ms=2_500)
    async def double(xs: list[int]) -> list[int]:
        batches.append((round(now() - start, 6), xs))
        return [2 * x for x in xs]

    start = 0.0

    async def call(x: int) -> int:
        await sleep(float(x))
        return await double.remote.aio(x)

    async def main() -> None:
        nonlocal start
        async with app.run():
            start = now()
            assert [0, 2, 4, 6] == await gather(*(lambda x=x: call(x) for x in range(4)))
            assert [(2.5, [0, 1, 2]), (5.5, [3])] == batches

    run_virtually(main)


def test_without_a_wait_each_batch_takes_what_is_there(run_virtually: Run) -> None:
    app = modal.App()
    sizes: list[int] = shared([])

    @app.function()
    @modal.batched(max_batch_size=10, wait_ms=0)
    async def double(xs: list[int]) -> list[int]:
        sizes.append(len(xs))
        return [2 * x for x in xs]

    async def main() -> None:
        async with app.run():
            start = now()
            assert [2 * x for x in range(25)] == [y async for y in double.map.aio(range(25))]
            assert 0.0 == now() - start
            assert (25, True) == (sum(sizes), max(sizes) <= 10)

    run_virtually(main)


def test_M8_2_a_thousand_callers_each_get_their_own_answer_in_time(run_virtually: Run) -> None:
    app = modal.App()
    ages: list[float] = shared([])
    sizes: list[int] = shared([])

    @app.function()
    @modal.batched(max_batch_size=16, wait_ms=100)
    async def square(xs: list[int], born: list[float]) -> list[int]:
        sizes.append(len(xs))
        ages.extend(now() - at for at in born)
        return [x * x for x in xs]

    async def call(x: int) -> int:
        await sleep((x * 37 % 1000) / 250)
        return await square.remote.aio(x, now())

    async def main() -> None:
        async with app.run():
            expected = [x * x for x in range(1000)]
            assert expected == await gather(*(lambda x=x: call(x) for x in range(1000)))
            assert 16 == max(sizes)
            assert max(ages) <= 0.1 + 1e-6

    run_virtually(main)


def test_M8_2_a_sync_function_gets_batches_from_sync_callers() -> None:
    app = modal.App()
    sizes: list[int] = shared([])

    @app.function()
    @modal.batched(max_batch_size=3, wait_ms=10)
    def double(xs: list[int]) -> list[int]:
        sizes.append(len(xs))
        return [2 * x for x in xs]

    with app.run():
        assert [2 * x for x in range(7)] == list(double.map(range(7)))
        assert [3, 3, 1] == sorted(sizes, reverse=True)
        assert 10 == double.remote(5)
        assert 12 == double.spawn(6).get(PATIENCE_S)


def test_M5_10_the_method_of_a_class_may_be_batched(run_virtually: Run) -> None:
    app = modal.App()

    @app.cls()
    class Model:
        factor: int = modal.parameter(default=3)

        @modal.enter()
        def load(self) -> None:
            self.batches = 0

        @modal.batched(max_batch_size=2, wait_ms=1_000)
        async def scale(self, xs: list[int], offsets: list[int]) -> list[str]:
            self.batches += 1
            return [f"{self.factor * x + o} of {len(xs)}" for x, o in zip(xs, offsets, strict=True)]

    async def main() -> None:
        async with app.run():
            model = Model()
            start = now()
            calls = [
                model.scale.spawn(1, 100),
                model.scale.spawn(offsets=200, xs=2),  # type: ignore[call-arg]
                model.scale.spawn(3, offsets=300),  # type: ignore[call-arg]
            ]
            results = await modal.FunctionCall.gather.aio(*calls)
            assert ["103 of 2", "206 of 2", "309 of 1"] == results
            assert 1.0 == round(now() - start, 6)

    run_virtually(main)


def test_local_calls_the_plain_function_with_lists() -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=0)
    def double(xs: list[int]) -> list[int]:
        return [2 * x for x in xs]

    assert [2, 4] == double.local([1, 2])  # type: ignore[arg-type]


# -- slots, limits, counts --------------------------------------------------------------------------------


def test_a_batch_takes_one_slot_and_counts_as_its_inputs(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(max_containers=1)
    @modal.batched(max_batch_size=3, wait_ms=1_000)
    async def f(xs: list[int], gates: list[Any]) -> list[int]:
        await gates[0].wait()
        return xs

    async def main() -> None:
        gate = event()
        async with app.run():
            calls = [f.spawn(x, gate) for x in range(7)]
            await settle()
            counts = f.statistics()
            assert (1, 3, 4) == (counts.containers, counts.running, counts.pending)
            assert 7 == counts.arrived
            gate.set()
            assert list(range(7)) == await modal.FunctionCall.gather.aio(*calls)
            counts = f.statistics()
            assert (7, 0, 0) == (counts.succeeded, counts.running, counts.pending)

    run_virtually(main)


def test_M8_8_concurrent_lets_a_container_run_several_batches(run_virtually: Run) -> None:
    app = modal.App()
    inside: list[int] = shared([])

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=2)
    @modal.batched(max_batch_size=5, wait_ms=100)
    async def f(xs: list[int]) -> list[int]:
        inside.append(len(xs))
        await sleep(10.0)
        return xs

    async def main() -> None:
        async with app.run():
            start = now()
            assert list(range(20)) == [x async for x in f.map.aio(range(20))]
            assert ([5, 5, 5, 5], 20.0) == (inside, now() - start)

    run_virtually(main)


def test_the_backlog_limit_counts_single_inputs(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(limits=modal.Limits(max_pending=3))
    @modal.batched(max_batch_size=10, wait_ms=1_000)
    async def f(xs: list[int]) -> list[int]:
        return xs

    async def main() -> None:
        async with app.run():
            results = await gather(*(lambda x=x: f.remote.aio(x) for x in range(4)))
            (refused,) = [result for result in results if isinstance(result, ResourceExhaustedError)]
            assert (4, 3, "max_pending") == (len(results), refused.limit, refused.limit_name)

    run_virtually(main)


def test_leaving_the_app_does_not_wait_for_the_batch_to_fill(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=10, wait_ms=600_000)
    async def f(xs: list[int]) -> list[int]:
        return xs

    async def main() -> None:
        start = now()
        async with app.run():
            call = f.spawn(1)
        assert (0.0, 1) == (now() - start, await call.get.aio(timeout=0))

    run_virtually(main)


# -- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "said"),
    [([1], "a list of 1"), ([1, 2, 3], "a list of 3"), (None, "NoneType"), ((1, 2), "tuple"), ("ab", "str")],
)
def test_M8_4_a_result_that_is_no_list_of_that_length_fails_every_input(
    run_virtually: Run, returned: Any, said: str
) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=100)
    async def wrong(xs: list[int]) -> list[int]:
        return returned

    async def main() -> None:
        async with app.run():
            results: list[Any] = [r async for r in wrong.map.aio(range(2), return_exceptions=True)]
            assert [InvalidError, InvalidError] == [type(result) for result in results]
            assert f"one result for each of its 2 inputs, in their order; it returned {said}" in str(
                results[0]
            )
            assert 2 == wrong.statistics().failed

    run_virtually(main)


def test_M8_5_what_the_function_raises_every_input_of_the_batch_gets(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=100)
    async def may_fail(xs: list[int]) -> list[int]:
        if 1 in xs:
            raise Unlucky(tuple(xs))
        return xs

    async def main() -> None:
        async with app.run():
            results: list[Any] = [r async for r in may_fail.map.aio(range(4), return_exceptions=True)]
            assert [2, 3] == results[2:]
            assert [Unlucky, Unlucky] == [type(result) for result in results[:2]]
            assert (2, 2) == (may_fail.statistics().failed, may_fail.statistics().succeeded)

    run_virtually(main)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([((1, 2), {}), ((1,), {})], "must all give the same arguments"),
        ([((1,), {}), ((1,), {})], "lacks its argument 'b'"),
        ([((1, 2), {"c": 3}), ((1, 2), {})], "unknown argument 'c'"),
        ([((1, 2), {"a": 3}), ((1, 2), {})], "gives 'a' twice"),
        ([((1, 2, 3), {}), ((1, 2), {})], "has 3 positional arguments, it takes 2"),
    ],
    ids=["differing", "lacking", "unknown", "doubled", "too many"],
)
def test_M8_6_inputs_whose_arguments_do_not_fit_fail_with_their_batch(
    run_virtually: Run, calls: list[tuple[tuple[int, ...], dict[str, int]]], said: str
) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=100)
    async def add(a: list[int], b: list[int]) -> list[int]:
        return [x + y for x, y in zip(a, b, strict=True)]

    async def main() -> None:
        async with app.run():
            handles = [add.spawn(*args, **kwargs) for args, kwargs in calls]
            for handle in handles:
                with pytest.raises(InvalidError, match=said):
                    await handle.get.aio()
            # The next batch is not touched by it.
            assert 3 == await add.remote.aio(1, 2)

    run_virtually(main)


def test_a_caller_who_leaves_does_not_disturb_its_batch(run_virtually: Run) -> None:
    app = modal.App()
    batches: list[list[int]] = shared([])

    @app.function()
    @modal.batched(max_batch_size=3, wait_ms=1_000)
    async def f(xs: list[int]) -> list[int]:
        batches.append(xs)
        await sleep(5.0)
        return xs

    async def main() -> None:
        async with app.run():
            forming, others = f.spawn(0), [f.spawn(x) for x in (1, 2)]
            forming.cancel()
            with pytest.raises(RemoteError):
                await forming.get.aio()
            await sleep(2.0)
            running = others[0]
            running.cancel()
            with pytest.raises(RemoteError):
                await running.get.aio()
            assert 2 == await others[1].get.aio()
            assert [[1, 2]] == batches
            assert (2, 1) == (f.statistics().cancelled, f.statistics().succeeded)

    run_virtually(main)


def test_a_batch_whose_callers_have_all_left_never_starts(run_virtually: Run) -> None:
    app = modal.App()
    batches: list[list[int]] = shared([])

    @app.function(max_containers=1)
    @modal.batched(max_batch_size=2, wait_ms=0)
    async def f(xs: list[int]) -> list[int]:
        batches.append(xs)
        await sleep(5.0)
        return xs

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(x) for x in range(6)]
            await sleep(1.0)
            for call in calls[2:4]:
                call.cancel()
            assert (2, 2) == (f.statistics().pending, f.statistics().cancelled)
            assert [4, 5] == await modal.FunctionCall.gather.aio(*calls[4:])
            assert [[0, 1], [4, 5]] == batches

    run_virtually(main)


# -- the decorator ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "wait", "said"),
    [
        (0, 0, "max_batch_size must be at least 1, not 0"),
        (1_001, 0, "max_batch_size must be at most 1000, not 1001"),
        (1.5, 0, "max_batch_size must be a whole number, not 1.5"),
        (1, -1, "wait_ms must be at least 0, not -1"),
        (1, 600_001, "wait_ms must be at most 600000, not 600001"),
    ],
)
def test_M8_1_the_decorator_checks_its_numbers(size: Any, wait: Any, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        modal.batched(max_batch_size=size, wait_ms=wait)


def test_M8_7_M1_11_the_decorator_refuses_what_cannot_be_batched() -> None:
    app = modal.App()
    batched: Any = modal.batched(max_batch_size=2, wait_ms=0)

    def generator(xs: list[int]) -> Iterator[int]:
        yield from xs

    def with_default(xs: list[int], ys: list[int] = []) -> list[int]:  # noqa: B006
        return xs + ys

    def with_star(*xs: list[int]) -> list[int]:
        return list(xs[0])

    def without() -> list[int]:
        return []

    with pytest.raises(InvalidError, match="generator function, which cannot be batched"):
        batched(generator)
    with pytest.raises(InvalidError, match="has a default for 'ys'"):
        app.function()(batched(with_default))
    with pytest.raises(InvalidError, match=r"cannot take \*args"):
        app.function()(batched(with_star))
    with pytest.raises(InvalidError, match="takes no arguments, so there is nothing to batch"):
        app.function()(batched(without))
    with pytest.raises(InvalidError, match="stands twice"):
        batched(batched(lambda xs: xs))
    with pytest.raises(InvalidError, match=r"does not go on a class.*put it on the one method"):
        batched(type("Model", (), {}))
    with pytest.raises(InvalidError):
        batched(app.function()(lambda xs: xs))


def test_M5_10_a_class_has_one_batched_method_and_no_other() -> None:
    app = modal.App()

    class TwoBatched:
        @modal.batched(max_batch_size=2, wait_ms=0)
        def one(self, xs: list[int]) -> list[int]:
            return xs

        @modal.batched(max_batch_size=2, wait_ms=0)
        def other(self, xs: list[int]) -> list[int]:
            return xs

    class AndAMethod:
        @modal.batched(max_batch_size=2, wait_ms=0)
        def one(self, xs: list[int]) -> list[int]:
            return xs

        @modal.method()
        def other(self, x: int) -> int:
            return x

    for wrong in (TwoBatched, AndAMethod):
        with pytest.raises(InvalidError, match="batched"):
            app.cls()(wrong)


def test_batches_of_a_sync_function_run_beside_each_other_in_threads() -> None:
    app = modal.App()
    both = threading.Barrier(2, timeout=PATIENCE_S)

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=2)
    @modal.batched(max_batch_size=2, wait_ms=60_000)
    def f(xs: list[int]) -> list[int]:
        both.wait()
        return xs

    with app.run():
        calls = [f.spawn(x) for x in range(4)]
        assert [0, 1, 2, 3] == modal.FunctionCall.gather(*calls)
