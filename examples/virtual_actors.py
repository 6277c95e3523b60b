# SPDX-License-Identifier: Apache-2.0
"""Virtual actors: game rooms that exist when somebody plays in them, each with state of its own and without a lock.

$ actorpool run examples/virtual_actors.py
"""

from __future__ import annotations

import asyncio

import actorpool as modal

app = modal.App("arcade")

# A database in real life: what outlives the rooms.
saved: dict[str, dict[str, int]] = {}


# One container for each name, one input at a time in it: whoever is in a room is there alone.
@app.cls(max_containers=1, scaledown_window=1)
class Room:
    name: str = modal.parameter()

    @modal.enter()
    async def open(self) -> None:
        self.scores = dict(saved.get(self.name, {}))
        print(f"{self.name}: open, players known: {len(self.scores)}")

    @modal.method()
    async def score(self, player: str, points: int) -> int:
        before = self.scores.get(player, 0)
        await asyncio.sleep(0.001)  # Elsewhere another call would come in between, and points would be lost.
        self.scores[player] = before + points
        # Saved with each change: the room may open again while the exit hook of the last one still runs.
        saved[self.name] = dict(self.scores)
        return self.scores[player]

    @modal.method()
    async def standings(self) -> str:
        best = sorted(self.scores.items(), key=lambda entry: -entry[1])
        return ", ".join(f"{player} {points}" for player, points in best)

    @modal.method()
    async def challenge(self, other: str) -> str:
        # An actor calls another one by its name, and itself without a detour.
        theirs = await room(other).standings.remote.aio()
        return f"{self.name} ({await self.standings.local()}) against {other} ({theirs})"


def room(name: str) -> Room:
    return Room(name=name)  # type: ignore[call-arg]  # for mypy; pyright knows parameters


@app.local_entrypoint()
async def main() -> None:
    await asyncio.gather(*[room("chess").score.remote.aio("ada", 1) for _ in range(40)])
    await asyncio.gather(
        *[room("go").score.remote.aio(player, 2) for _ in range(20) for player in ("bob", "eve")]
    )
    print(await room("chess").challenge.remote.aio("go"))
    print("containers ever started for chess:", room("chess").score.statistics().starts)

    await asyncio.sleep(1.5)
    print("nobody plays, containers left:", room("chess").score.statistics().containers)
    print("ada comes back and has", await room("chess").score.remote.aio("ada", 2))
