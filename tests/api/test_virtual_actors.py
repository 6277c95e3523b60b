# SPDX-License-Identifier: Apache-2.0
"""Virtual actors: one container per parameter set and one slot in it, so that state needs no lock."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import DeadlockError
from tests.api.support import gather, sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.local_only("more containers than there are to be processes")

Run = Callable[..., Any]


def accounts() -> tuple[modal.App, Any, dict[str, int]]:
    """Return an app, its class of accounts, and where their balances are kept."""
    app = modal.App("bank")
    saved: dict[str, int] = shared({})

    @app.cls(max_containers=1, scaledown_window=10)
    class Account:
        owner: str = modal.parameter()

        @modal.enter()
        async def open(self) -> None:
            self.balance = saved.get(self.owner, 0)

        @modal.method()
        async def deposit(self, amount: int) -> int:
            before = self.balance
            await sleep(0.001)
            self.balance = before + amount
            saved[self.owner] = self.balance
            return self.balance

        @modal.method()
        def deposit_in_thread(self, amount: int) -> int:
            # Read, and write elsewhere: a thread of another input would come in between.
            before = self.balance
            sum(range(100))
            self.balance = before + amount
            return self.balance

        @modal.method()
        async def move(self, amount: int, other: str) -> int:
            await Account(owner=other).deposit.remote.aio(amount)  # type: ignore[call-arg]
            return await self.deposit.local(-amount)

        @modal.method()
        async def waits_for_itself(self) -> int:
            return await self.deposit.remote.aio(1)

    return app, Account, saved


def test_an_actor_does_one_thing_at_a_time_in_the_order_it_was_asked(run_virtually: Run) -> None:
    app, Account, _ = accounts()

    async def main() -> None:
        async with app.run():
            ada = Account(owner="ada")
            calls = [ada.deposit.spawn(1) for _ in range(100)]
            assert list(range(1, 101)) == [await call.get.aio() for call in calls]
            assert 1 == ada.deposit.statistics().starts

    run_virtually(main)


def test_methods_in_threads_need_no_lock_either() -> None:
    app, Account, _ = accounts()
    with app.run(), ThreadPoolExecutor(8) as threads:
        ada = Account(owner="ada")
        balances = list(threads.map(lambda _: ada.deposit_in_thread.remote(1), range(400)))
        assert list(range(1, 401)) == sorted(balances)


def test_actors_run_beside_each_other_and_share_nothing(run_virtually: Run) -> None:
    app, Account, saved = accounts()
    owners = [f"owner {number}" for number in range(50)]

    async def main() -> None:
        async with app.run():
            await gather(
                *[lambda o=o: Account(owner=o).deposit.remote.aio(1) for o in owners for _ in range(4)]
            )
            assert dict.fromkeys(owners, 4) == saved

    run_virtually(main)


def test_an_actor_that_scaled_to_zero_comes_back_with_what_it_saved(run_virtually: Run) -> None:
    app, Account, saved = accounts()

    async def main() -> None:
        async with app.run():
            ada = Account(owner="ada")
            assert 5 == await ada.deposit.remote.aio(5)
            await sleep(10.1)
            assert (0, 1) == (ada.deposit.statistics().containers, ada.deposit.statistics().starts)
            assert 6 == await ada.deposit.remote.aio(1)
            assert 2 == ada.deposit.statistics().starts
            # Without a handle the pool itself is forgotten; the next handle makes it anew.
            del ada
            gc.collect()
            await sleep(10.1)
            gc.collect()
            await settle()
            assert 7 == await Account(owner="ada").deposit.remote.aio(1)
        assert {"ada": 7} == saved

    run_virtually(main)


def test_actors_call_each_other_by_their_parameters(run_virtually: Run) -> None:
    app, Account, saved = accounts()

    async def main() -> None:
        async with app.run():
            await Account(owner="ada").deposit.remote.aio(100)
            moves = [Account(owner="ada").move.remote.aio for _ in range(10)]
            await gather(*[lambda move=move: move(10, "bob") for move in moves])
            assert {"ada": 0, "bob": 100} == saved

    run_virtually(main)


def test_an_actor_that_waits_for_itself_is_told_so_at_once(run_virtually: Run) -> None:
    app, Account, _ = accounts()

    async def main() -> None:
        async with app.run():
            with pytest.raises(DeadlockError) as caught:
                await Account(owner="ada").waits_for_itself.remote.aio()
            assert ("Account.waits_for_itself", "Account.deposit") == caught.value.chain
            assert 1 == await Account(owner="ada").deposit.remote.aio(1)

    run_virtually(main)


def test_a_redeployment_that_recreates_has_no_two_containers_of_one_actor(run_virtually: Run) -> None:
    app = modal.App("bank")
    alive: list[int] = shared([])
    most: list[int] = shared([])

    @app.cls(max_containers=1, min_containers=1)
    class Singleton:
        @modal.enter()
        async def open(self) -> None:
            alive.append(1)
            most.append(len(alive))

        @modal.exit()
        async def close(self) -> None:
            await sleep(1.0)
            alive.pop()

        @modal.method()
        async def run(self) -> None:
            await sleep(1.0)

    async def main() -> None:
        await app.deploy.aio()
        for _ in range(3):
            call = Singleton().run.spawn()
            await settle()
            await app.deploy.aio(strategy="recreate")
            await call.get.aio()
        await app.stop.aio()
        assert [] == alive
        assert 1 == max(most)

    run_virtually(main)
