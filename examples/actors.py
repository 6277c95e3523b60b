# SPDX-License-Identifier: Apache-2.0
"""A supervised actor system: a till that crashes at what is no number, and a ledger that loses nothing by it.

    $ python examples/actors.py

With trio instead of asyncio nothing changes but the last line.
"""

import asyncio

from actorpool.primitives import Actor, Address, ChildSpec, RestartIntensity, Supervisor, open_nursery

ledger = Address[int, int]("ledger")
till = Address[str, int]("till", max_pending=100)


class Ledger(Actor[int, int]):
    total = 0  # one message at a time: no lock

    async def handle(self, message: int) -> int:
        self.total += message
        return self.total


class Till(Actor[str, int]):
    async def handle(self, message: str) -> int:
        return await ledger.ask(int(message))


async def main() -> None:
    supervisor = Supervisor(
        [
            ChildSpec("ledger", lambda: Ledger(mailbox=ledger.mailbox).run()),
            ChildSpec("till", lambda: Till(mailbox=till.mailbox).run()),
        ],
        strategy="rest_for_one",  # the till cannot do without its ledger, but the ledger without its till
        intensity=RestartIntensity(max_restarts=3, window_s=60),
    )
    async with open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        for typed in ("5", "7", "a pear", "30"):
            till.tell(typed)  # nobody waits: at the pear the till crashes, and is restarted
        print("in the ledger:", await till.ask("0"))
        for child in supervisor.statistics().children:
            print(
                f"{child.name}: {child.state.value}, starts: {child.starts}, failed with {child.last_error!r}"
            )
        supervisor.stop()


asyncio.run(main())
