# SPDX-License-Identifier: Apache-2.0
"""S17: the next deploy puts the decorator's settings back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import actorpool as modal
from tests.api.support import settings_of, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def test_S17_the_next_deploy_puts_the_decorators_settings_back(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1, max_containers=5)
    async def f() -> None: ...

    async def main() -> None:
        await app.deploy.aio()
        try:
            found = modal.Function.from_name("my-app", "f")
            found.update_autoscaler(min_containers=3, max_containers=100, scaledown_window=1)
            assert (3, 100, 0, 1) == settings_of(found)

            await app.deploy.aio()
            assert (1, 5, 0, 60.0) == settings_of(found) == settings_of(f)

            found.update_autoscaler(max_containers=7)
            assert (1, 7, 0, 60.0) == settings_of(found)
        finally:
            await app.stop.aio()

    run(main)


def test_S17_another_app_of_the_same_name_replaces_the_deployment() -> None:
    def version(number: int) -> modal.App:
        app = modal.App("my-app")

        @app.function(max_containers=number)
        def f() -> int:
            return number

        return app

    first, second = version(1), version(2)
    first.deploy()
    try:
        found = modal.Function.from_name("my-app", "f")
        assert 1 == found.remote()
        found.update_autoscaler(min_containers=1)

        second.deploy()
        assert 2 == found.remote()
        assert (0, 2, 0, 60.0) == settings_of(found)
    finally:
        second.stop()
        first.stop()


def test_S17_the_old_containers_finish_what_they_have(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f(x: int) -> int:
        await sleep(1.0)
        return x

    async def main() -> None:
        await app.deploy.aio()
        try:
            calls = [f.spawn(x) for x in range(5)]
            await settle()
            await app.deploy.aio()
            calls += [f.spawn(x) for x in range(5, 10)]
            assert list(range(10)) == [await call.get.aio() for call in calls]
        finally:
            await app.stop.aio()

    run_virtually(main)


def test_S17_a_further_run_begins_with_the_decorators_settings(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=5)
    async def f() -> None: ...

    async def main() -> None:
        for _ in range(2):
            async with app.run():
                assert (0, 5, 0, 60.0) == settings_of(f)
                f.update_autoscaler(max_containers=6, buffer_containers=1)
                assert (0, 6, 1, 60.0) == settings_of(f)

    run(main)


def test_S17_sync_deploys_put_the_settings_back_too() -> None:
    app = modal.App("my-app")

    @app.function(max_containers=5)
    def f(x: int) -> int:
        return x

    app.deploy()
    try:
        f.update_autoscaler(max_containers=50)
        app.deploy()
        assert (0, 5, 0, 60.0) == settings_of(f)
        assert 3 == f.remote(3)
        f.update_autoscaler(max_containers=51)
        assert (0, 51, 0, 60.0) == settings_of(f)
    finally:
        app.stop()
