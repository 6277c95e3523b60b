# SPDX-License-Identifier: Apache-2.0
"""`with_options`, `with_concurrency`, `with_batching`: variants with pools of their own; and `f.autoscaler`."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, FunctionTimeoutError, InvalidError
from tests.api.support import PATIENCE_S, event, gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


class Unlucky(Exception):
    pass


# -- pools of their own -----------------------------------------------------------------------------------


def test_M2_10_a_variant_has_a_pool_of_its_own_and_the_original_is_untouched(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(max_containers=10)
    async def f(gate: Any) -> str | None:
        await gate.wait()
        return modal.current_container_id()

    async def main() -> None:
        async with app.run():
            gate = event()
            narrow = f.with_options(max_containers=2, scaledown_window=5)
            calls = [handle.spawn(gate) for handle in (f, narrow) for _ in range(5)]
            await settle()
            assert (5, 5, 0) == (f.statistics().containers, f.statistics().running, f.statistics().pending)
            counts = narrow.statistics()
            assert (2, 2, 3) == (counts.containers, counts.running, counts.pending)
            assert (10, 60.0) == (
                f.statistics().settings.max_containers,
                f.autoscaler.settings().scaledown_window,
            )
            assert (2, 5) == (counts.settings.max_containers, counts.settings.scaledown_window)
            gate.set()
            await modal.FunctionCall.gather.aio(*calls)

    run_virtually(main)


def test_M2_10_what_is_given_later_overrides_key_by_key(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(min_containers=1, max_containers=9, scaledown_window=7)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            variant = f.with_options(max_containers=4, buffer_containers=2).with_options(buffer_containers=3)
            settings = variant.with_concurrency(max_inputs=5).autoscaler.settings()
            assert modal.AutoscalerSettings(1, 4, 3, 7) == settings
            assert modal.AutoscalerSettings(1, 9, 0, 7) == f.autoscaler.settings()

    run_virtually(main)


def test_M2_10_handles_with_the_same_options_share_one_pool(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            one, other = f.with_options(timeout=5), f.with_options(timeout=7).with_options(timeout=5)
            different = f.with_options(timeout=6)
            assert [1, 2, 3] == [await h.remote.aio(x) for h, x in ((one, 1), (other, 2), (different, 3))]
            assert (2, 2, 1) == tuple(handle.statistics().arrived for handle in (one, other, different))
            with pytest.raises(ExecutionError, match="not running"):
                _ = modal.App("elsewhere").function()(f.get_raw_f()).with_options(timeout=5).statistics()

    run(main)


def test_M2_10_options_reach_the_variant_and_only_it(run_virtually: Run) -> None:
    app = modal.App()
    tries: list[int] = shared([])

    @app.function(timeout=100)
    async def f() -> None:
        tries.append(1)
        attempt = len(tries)
        await sleep(10.0)
        raise Unlucky(attempt)

    async def main() -> None:
        async with app.run():
            start = now()
            with pytest.raises(FunctionTimeoutError, match="its timeout of 5 s"):
                await f.with_options(timeout=5).remote.aio()
            assert 5.0 == now() - start
            with pytest.raises(Unlucky, match="3"):
                await f.with_options(retries=1).remote.aio()
            with pytest.raises(Unlucky, match="4"):
                await f.remote.aio()

    run_virtually(main)


def test_M2_11_with_concurrency_is_as_if_decorated(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(max_containers=1)
    async def f() -> None:
        await sleep(1.0)

    async def main() -> None:
        async with app.run():
            start = now()
            wide = f.with_concurrency(max_inputs=10, target_inputs=10)
            await gather(*[wide.remote.aio] * 10)
            assert 1.0 == now() - start
            assert 1 == wide.statistics().starts

    run_virtually(main)


def test_M2_11_with_concurrency_gives_a_sync_function_its_threads() -> None:
    app = modal.App()

    @app.function(max_containers=1)
    def f(x: int) -> int:
        barrier.wait()
        return x

    barrier = threading.Barrier(3, timeout=PATIENCE_S)
    with app.run():
        assert [0, 1, 2] == list(f.with_concurrency(max_inputs=3).map(range(3)))


def test_M2_12_with_batching_is_as_if_decorated(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def total(xs: Any) -> Any:
        return [sum(xs)] * len(xs) if isinstance(xs, list) else xs

    async def main() -> None:
        async with app.run():
            batched = total.with_batching(max_batch_size=3, wait_ms=1_000)
            assert [3, 3, 3] == [y async for y in batched.map.aio(range(3))]
            assert 7 == await total.remote.aio(7)
            # Still a batch, of a pool with other settings.
            assert [3, 3, 3] == [y async for y in batched.with_options(max_containers=1).map.aio(range(3))]

    run_virtually(main)


def test_M5_9_a_class_has_variants_too(run_virtually: Run) -> None:
    app = modal.App()

    @app.cls(max_containers=8)
    class Model:
        @modal.method()
        async def run(self) -> str | None:
            await sleep(1.0)
            return modal.current_container_id()

    handle: Any = Model

    async def main() -> None:
        async with app.run():
            start = now()
            narrow: Any = handle.with_options(max_containers=1).with_concurrency(max_inputs=4)
            assert 1 == len(set(await gather(*[narrow().run.remote.aio] * 4)))
            assert 1.0 == now() - start
            assert 4 == len(set(await gather(*[handle().run.remote.aio] * 4)))
            assert (1, 8) == (
                narrow().autoscaler.settings().max_containers,
                handle().autoscaler.settings().max_containers,
            )
            # The same options, the same pool.
            same = handle.with_concurrency(max_inputs=4).with_options(max_containers=1)
            assert (4, 4) == (same().run.statistics().arrived, handle().run.statistics().arrived)

    run_virtually(main)


def test_M5_9_a_class_may_be_batched_by_a_variant(run_virtually: Run) -> None:
    app = modal.App()

    @app.cls()
    class Model:
        @modal.method()
        async def run(self, xs: Any) -> Any:
            return [len(xs)] * len(xs)

    handle: Any = Model

    async def main() -> None:
        async with app.run():
            batched = handle.with_batching(max_batch_size=2, wait_ms=10)()
            assert [2, 2, 2, 2] == [y async for y in batched.run.map.aio(range(4))]

    run_virtually(main)


def test_M5_9_variants_of_deployed_names_follow_the_deployment(run: Run) -> None:
    app = modal.App("variants-by-name")

    @app.function()
    async def f(x: int) -> int:
        return x

    @app.cls()
    class Model:
        @modal.method()
        async def run(self, x: int) -> int:
            return x

    async def main() -> None:
        variant = modal.Function.from_name("variants-by-name", "f").with_options(max_containers=3)
        model = modal.Cls.from_name("variants-by-name", "Model").with_options(max_containers=2)
        model = model.with_concurrency(max_inputs=2)
        for _ in range(2):
            await app.deploy.aio()
            assert (1, 2) == (await variant.remote.aio(1), await model().run.remote.aio(2))
            assert 3 == variant.autoscaler.settings().max_containers
            assert 2 == model().autoscaler.settings().max_containers
            await app.stop.aio()

    run(main)


# -- coming and going -------------------------------------------------------------------------------------


def test_a_variant_nobody_refers_to_is_forgotten_once_it_has_scaled_to_zero(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(scaledown_window=10)
    async def f(x: int) -> int:
        return x

    def pools() -> int:
        gc.collect()
        return len(app._life.runtime().supervisors())

    async def main() -> None:
        async with app.run():
            before = pools()
            for n in range(1, 51):
                assert n == await f.with_options(max_containers=n).remote.aio(n)
            assert before + 50 == pools()
            await sleep(60.0)
            assert before == pools()

    run_virtually(main)


def test_a_variant_somebody_refers_to_stays(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(scaledown_window=10)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            variant = f.with_options(max_containers=3)
            await variant.remote.aio()
            variant.autoscaler.update(buffer_containers=1)
            await sleep(100.0)
            assert (0, 1, 1) == (
                variant.statistics().containers,
                variant.statistics().arrived,
                variant.autoscaler.settings().buffer_containers,
            )

    run_virtually(main)


# -- wrong use --------------------------------------------------------------------------------------------


def test_M2_10_M2_11_M2_12_variants_check_what_they_are_given() -> None:
    app = modal.App()

    @app.function(min_containers=3)
    async def f(x: int) -> int:
        return x

    @app.function()
    async def stream() -> AsyncIterator[int]:
        yield 1

    for options in ({"max_containers": 0}, {"timeout": 0}, {"retries": -1}, {"scaledown_window": "long"}):
        with pytest.raises(InvalidError, match=next(iter(options))):
            f.with_options(**options)
    with pytest.raises(InvalidError, match="gpu=, which only means something in Modal's cloud"):
        f.with_options(gpu="H100")
    with pytest.raises(TypeError, match="unexpected keyword argument 'min_containers'"):
        f.with_options(min_containers=1)
    with pytest.raises(InvalidError, match="max_inputs"):
        f.with_concurrency(max_inputs=0)
    with pytest.raises(InvalidError, match="greater than max_inputs"):
        f.with_concurrency(max_inputs=1, target_inputs=2)
    with pytest.raises(InvalidError, match="max_batch_size"):
        f.with_batching(max_batch_size=0, wait_ms=0)
    with app.run():
        # What contradicts the original shows where the variant is used.
        with pytest.raises(InvalidError, match="less than min_containers"):
            f.with_options(max_containers=1).remote(1)
        with pytest.raises(InvalidError, match="generator function, which cannot be batched"):
            stream.with_batching(max_batch_size=2, wait_ms=0).remote_gen()


def test_a_method_has_no_variants_of_its_own() -> None:
    app = modal.App()

    @app.cls()
    class Model:
        @modal.method()
        async def run(self) -> None: ...

    with app.run():
        with pytest.raises(InvalidError, match=r"make a variant of the class: MyClass\.with_options"):
            Model().run.with_options(max_containers=1)


# -- f.autoscaler -----------------------------------------------------------------------------------------


def test_M2_8_none_clears_in_the_autoscaler_and_what_is_not_given_stays(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(min_containers=1, max_containers=2, buffer_containers=1, scaledown_window=5)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            update = f.autoscaler.update
            assert modal.AutoscalerSettings(1, None, 1, 5) == update(max_containers=None)
            assert modal.AutoscalerSettings(0, None, 0, 5) == update(
                min_containers=None, buffer_containers=None
            )
            assert modal.AutoscalerSettings(0, None, 0, 60) == update(scaledown_window=None)
            assert modal.AutoscalerSettings(0, 4, 0, 60) == update(max_containers=4) == update()
            assert modal.AutoscalerSettings(0, 4, 0, 60) == f.autoscaler.settings()
            # The older verb takes None for "not given".
            assert 4 == f.update_autoscaler(max_containers=None).max_containers

    run_virtually(main)


def test_M2_8_the_autoscaler_refuses_contradictions_and_changes_nothing(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(min_containers=2, max_containers=3)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            for wrong in ({"max_containers": 0}, {"max_containers": 1}, {"min_containers": -1}):
                with pytest.raises(InvalidError, match=r"max_containers|min_containers"):
                    f.autoscaler.update(**wrong)
            assert modal.AutoscalerSettings(2, 3) == f.autoscaler.settings()

    run_virtually(main)
    with pytest.raises(ExecutionError):
        f.autoscaler.settings()


@pytest.mark.local_only("processes are bounded by default")
def test_an_update_of_one_variant_leaves_the_others_alone(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            one, other = f.with_options(max_containers=1), f.with_options(max_containers=2)
            one.update_autoscaler(max_containers=7)
            assert [7, 2, None] == [h.autoscaler.settings().max_containers for h in (one, other, f)]

    run_virtually(main)
