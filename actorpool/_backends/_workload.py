# SPDX-License-Identifier: Apache-2.0
"""What a container runs: the user's function, or the methods and hooks of the user's class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._input import Input

__all__ = ["ContainerBackend", "ContainerOwner", "Hook", "Target", "Workload"]


@define(eq=False, repr=False)
class Target:
    """One function or method that inputs are for."""

    name: str
    function: Callable[..., Any]
    """The user's function; of a method the plain function, to be bound to the container's object."""
    is_async: bool
    is_generator: bool = False
    is_far: bool = False
    """Whether it is called in another process, which says in its errors where they come from."""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Target {self.name}>"


@frozen
class Hook:
    """One enter or exit hook of the user's class."""

    function: Callable[..., Any]
    is_async: bool


@define(eq=False)
class Workload:
    """All that the containers of one pool have in common."""

    name: str
    targets: tuple[Target, ...]
    max_inputs: int
    build: Callable[[], Any] | None = None
    """Makes the user's object for a container; None for a plain function."""
    enter: tuple[Hook, ...] = ()
    exit: tuple[Hook, ...] = ()
    bound: bool = False
    """Whether the targets are methods: their first parameter is the container's object."""

    @property
    def threads(self) -> int:
        """How many threads a container may come to use: one per slot for synchronous functions."""
        if any(not target.is_async for target in self.targets):
            return self.max_inputs
        return 1 if any(not hook.is_async for hook in (*self.enter, *self.exit)) else 0

    @property
    def one_thread(self) -> bool:
        """Whether one thread runs all inputs."""
        return self.max_inputs == 1 and not any(target.is_async for target in self.targets)


class ContainerOwner(Protocol):
    """What a backend whose containers can end by themselves tells of one; host thread only."""

    def lost(self, error: BaseException, run: frozenset[Input]) -> None:
        """Report that the container is gone, after it was ready; `stop` is called all the same.

        Args:
            error: How it ended.
            run: The inputs it was given to run and that have not ended.
        """
        ...

    def look_ahead(self, most: int) -> list[Input]:
        """Return up to `most` pending inputs, which will follow here in this order as slots become free."""
        ...

    def give_back(self, inputs: tuple[Input, ...]) -> None:
        """Report that inputs of `look_ahead` have not begun, and are for others to run."""
        ...

    def succeeded(self, inputs: Sequence[Input], results: Sequence[Any]) -> list[Input | None]:
        """Report that inputs have ended, in this order, with these results.

        Returns:
            For each what takes its slot, as `Complete` does; it may itself be among them.
        """
        ...

    def retire(self) -> None:
        """Ask that it be given nothing more: it will be ended when it runs nothing that counts."""
        ...


class ContainerBackend(Protocol):
    """One container's inside: whatever runs its inputs."""

    async def admit(self) -> None:
        """Wait until there is room for one more container; this does not count as its start.

        Cancellation: Nothing is held.
        """
        ...

    async def start(self) -> None:
        """Get ready to take inputs, enter hooks included; raise to say that the start failed.

        Cancellation: The start is called off; nothing may be left behind that this backend can stop.
        """
        ...

    @property
    def send(self) -> Callable[[Input], None]:
        """What runs an input, which holds a slot, and reports its end through `complete`. Threads: any."""
        ...

    def cancel(self, input: Input) -> None:
        """Interrupt the work of `input`, whose outcome is settled; do nothing where that is impossible."""
        ...

    def abandon(self) -> None:
        """Let go of threads and the like, without waiting and without hooks: the host's loop is gone. Threads: any."""
        ...

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        """Run the exit hooks and end whatever was started, within about `grace_s` for each step.

        Args:
            leftover: Inputs that were interrupted and whose work has not returned.
            grace_s: How long to wait for them, and for each hook, in seconds.
        """
        ...
