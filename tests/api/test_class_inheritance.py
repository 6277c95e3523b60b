# SPDX-License-Identifier: Apache-2.0
"""Classes that have bases, methods that call each other, and objects made for local use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, InvalidError
from tests.api.support import gather, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


class Store:
    """A plain base class: parameters, hooks and a method."""

    table: str = modal.parameter()
    shards: int = modal.parameter(default=1)
    notes: list[str] = modal.parameter(default=(), init=False)

    @modal.enter()
    def connect(self) -> None:
        self.log = [f"connect {self.table}"]

    @modal.enter()
    async def warm(self) -> None:
        self.log.append("warm")

    @modal.exit()
    def disconnect(self) -> None:
        ended.append(f"disconnect {self.table}")

    @modal.method()
    async def history(self) -> list[str]:
        return self.log

    @modal.method()
    async def describe(self) -> str:
        return f"{self.table}/{self.shards}"


class Cached:
    """A mixin."""

    ttl: int = modal.parameter(default=60)

    @modal.enter()
    async def allocate(self) -> None:
        self.cache: dict[str, str] = {}


ended: list[str] = []


def test_M5_13_parameters_of_all_base_classes_count(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class Users(Cached, Store):
        shards: int = modal.parameter(default=4)
        region: str = modal.parameter(default="eu")

        @modal.method()
        async def all(self) -> tuple[str, int, int, str]:
            return self.table, self.shards, self.ttl, self.region

    make: Any = Users

    async def main() -> None:
        async with app.run():
            assert ("users", 4, 60, "eu") == await make(table="users").all.remote.aio()
            assert ("u", 1, 2, "us") == await make(table="u", shards=1, ttl=2, region="us").all.remote.aio()
            with pytest.raises(InvalidError, match="needs its parameter 'table'"):
                await make().all.remote.aio()
            with pytest.raises(TypeError, match=r"ttl=.*must be int"):
                await make(table="users", ttl="long").all.remote.aio()
            with pytest.raises(InvalidError, match="no parameter 'notes'"):
                await make(table="users", notes=()).all.remote.aio()

    run(main)


@pytest.mark.local_only("the hooks of a module's class write into that module's own list")
def test_M5_13_hooks_run_from_the_base_down_and_an_overridden_one_runs_once(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class Users(Store):
        @modal.enter()
        def index(self) -> None:
            self.log.append("index")

        @modal.enter()
        async def warm(self) -> None:
            self.log.append("warm twice")

        @modal.exit()
        async def flush(self) -> None:
            ended.append("flush")

    make: Any = Users

    async def main() -> None:
        del ended[:]
        async with app.run():
            assert ["connect a", "warm twice", "index"] == await make(table="a").history.remote.aio()
        assert ["disconnect a", "flush"] == ended

    run(main)


def test_M5_13_a_hook_that_is_overridden_by_a_plain_method_is_none(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class Users(Store):
        async def warm(self) -> None:
            raise AssertionError

    make: Any = Users

    async def main() -> None:
        async with app.run():
            assert ["connect a"] == await make(table="a").history.remote.aio()

    run(main)


def test_M5_13_two_classes_of_one_base_share_nothing(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class Users(Store):
        @modal.method()
        async def describe(self) -> str:
            # Of what it overrides, the plain function is a call away.
            return "users of " + await super().describe.local()  # type: ignore[misc,unused-ignore]

    @app.cls(max_containers=2)
    class Orders(Store):
        pass

    users, orders = (make(table="t") for make in (Users, Orders))  # type: ignore[call-arg]

    async def main() -> None:
        async with app.run():
            assert ["users of t/1", "t/1"] == await gather(
                users.describe.remote.aio, orders.describe.remote.aio
            )
            assert (1, 1) == (users.describe.statistics().starts, orders.describe.statistics().starts)
            assert (1, 2) == tuple(
                obj.describe.statistics().settings.max_containers for obj in (users, orders)
            )

    run(main)


def test_M5_13_a_class_of_an_app_is_no_base_class(app: modal.App) -> None:
    @app.cls()
    class Users(Store):
        pass

    with pytest.raises(InvalidError, match="'Users' is a class of an app, which nothing can inherit from"):

        class Admins(Users):
            pass


# -- methods that call each other ------------------------------------------------------------------------------


def test_M5_14_local_is_a_call_of_the_same_object_and_remote_goes_through_the_pool(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=2)
    class Counter:
        @modal.enter()
        def begin(self) -> None:
            self.count = 0

        @modal.method()
        async def add(self, by: int) -> tuple[int, str | None]:
            self.count += by
            return self.count, modal.current_container_id()

        @modal.method()
        async def both(self) -> list[Any]:
            return [
                await self.add.local(1),
                await self.add.local(1),
                # The only slot of this container is taken by this very input.
                await self.add.remote.aio(10),
                modal.current_container_id(),
            ]

        @modal.method()
        def both_in_thread(self) -> list[Any]:
            return [self.add.remote(10)[0], [x for x, _ in self.add.map([10])]]

    async def main() -> None:
        async with app.run():
            first, second, third, here = await Counter().both.remote.aio()
            assert [(1, here), (2, here)] == [first, second]
            assert (10, "Counter/2") == third
            assert "Counter/1" == here

        async with app.run():
            assert [10, [20]] == await Counter().both_in_thread.remote.aio()

    run(main)


def test_M5_14_an_undecorated_method_is_a_plain_call_inside(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class Counter:
        def _double(self, x: int) -> int:
            return 2 * x

        @modal.method()
        async def add(self, x: int) -> int:
            return self._double(x) + await self._more(x)

        async def _more(self, x: int) -> int:
            return x

    async def main() -> None:
        async with app.run():
            assert [0, 3, 6] == [x async for x in Counter().add.map.aio(range(3))]

    run(main)


def test_M5_14_calling_the_sibling_itself_says_what_to_write() -> None:
    app = modal.App("my-app")

    @app.cls()
    class Counter:
        @modal.method()
        def add(self, x: int) -> int:
            return x

        @modal.method()
        def twice(self, x: int) -> int:
            return 2 * self.add(x)

    with app.run():
        with pytest.raises(TypeError, match=r"write Counter\(\.\.\.\)\.add\.remote\(\.\.\.\)"):
            Counter().twice.remote(1)


def test_an_object_made_past_the_app_has_no_pool(app: modal.App) -> None:
    class Plain:
        @modal.method()
        def run(self) -> int:
            return 1

    app.cls()(Plain)
    with pytest.raises(ExecutionError, match="'Plain' was made without an app"):
        Plain().run.remote()


# -- warm instances --------------------------------------------------------------------------------------------


def test_M5_12_the_default_instance_is_warm_from_the_start_and_others_are_not(run_virtually: Run) -> None:
    app = modal.App("my-app")
    entered: list[str] = shared([])

    class Warm:
        @modal.enter()
        async def load(self) -> None:
            entered.append(self.size)  # type: ignore[attr-defined]

        @modal.method()
        async def run(self) -> str | None:
            return modal.current_container_id()

    @app.cls(min_containers=2, scaledown_window=5)
    class Model(Warm):
        size: str = modal.parameter(default="small")

    make: Any = Model

    async def main() -> None:
        async with app.run():
            await settle()
            assert ["small", "small"] == entered
            await sleep(1000.0)
            assert 2 == make().run.statistics().ready
            # Said or left out, the default is the same instance.
            assert await make(size="small").run.remote.aio() in {"Model/1", "Model/2"}
            assert ["small", "small"] == entered

            await make(size="large").run.remote.aio()
            await settle()
            assert ["large", "large"] == entered[2:]

    run_virtually(main)


def test_M5_12_a_deployment_warms_the_default_instance_and_stays_warm(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(min_containers=1)
    class Model:
        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        await app.deploy.aio()
        try:
            await sleep(1000.0)
            looked_up = modal.Cls.from_name("my-app", "Model")()
            assert (1, 1) == (looked_up.run.statistics().ready, looked_up.run.statistics().starts)
            looked_up.update_autoscaler(min_containers=0)
            await sleep(61.0)
            assert 0 == Model().run.statistics().containers
            await app.deploy.aio()
            await settle()
            assert 1 == Model().run.statistics().ready
        finally:
            await app.stop.aio()

    run_virtually(main)


# -- arguments of the marks --------------------------------------------------------------------------------------


def test_a_method_may_say_that_it_is_a_generator_but_not_contradict_itself() -> None:
    app = modal.App("my-app")

    @app.cls()
    class Job:
        @modal.method(is_generator=True)
        def items(self) -> Any:
            yield 1

        @modal.method(is_generator=False)
        def one(self) -> int:
            return 1

    with app.run():
        assert ([1], 1) == (list(Job().items.remote_gen()), Job().one.remote())
    with pytest.raises(InvalidError, match="contradicts method 'one', which is no generator function"):
        modal.method(is_generator=True)(Job.one.function)
    with pytest.raises(InvalidError, match="contradicts method 'items', which is a generator function"):
        modal.method(is_generator=False)(Job.items.function)


def test_M5_1_snapshots_are_the_clouds_own() -> None:
    app = modal.App("my-app")

    @app.cls()
    class Job:
        @modal.enter(snap=False)
        def load(self) -> None:
            self.loaded = True

        @modal.method()
        def run(self) -> bool:
            return self.loaded

    with app.run():
        assert Job().run.remote() is True
    with pytest.raises(InvalidError, match="snap=True, which only means something in Modal's cloud"):
        modal.enter(snap=True)
