# SPDX-License-Identifier: Apache-2.0
"""Our nursery and cancel scope against trio's: the same tree of tasks, treated alike, ends alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.primitives.referee import Driver, Referee, on_each_loop


class FailedError(Exception):
    pass


class FailedInCleanupError(Exception):
    pass


class Tree:
    """The tree of one driver: nodes wait for commands, some own a nursery, some fail when they are cancelled."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.commands: dict[str, tuple[Any, list[str]]] = {}
        self.nurseries: dict[str, Any] = {}

    async def node(self, path: str, kind: str) -> None:
        if "owner" not in kind:
            await self.obey(path, kind)
            return
        try:
            async with self.driver.open_nursery() as nursery:
                self.nurseries[path] = nursery
                await self.obey(path, kind)
        finally:
            del self.nurseries[path]

    async def obey(self, path: str, kind: str) -> None:
        event, orders = self.driver.event(), list[str]()
        self.commands[path] = (event, orders)
        try:
            await event.wait()
        except BaseException:
            if "fragile" in kind:
                raise FailedInCleanupError(path) from None
            raise
        finally:
            del self.commands[path]
        if orders[0] == "fail":
            raise FailedError(path)

    def start_child(self, path: str, child: str, kind: str) -> None:
        self.nurseries[path].start_soon(self.driver.carry, child, self.node, child, kind)

    def command(self, path: str, order: str) -> None:
        event, orders = self.commands[path]
        orders.append(order)
        event.set()

    def cancel_nursery(self, path: str) -> None:
        nursery = self.nurseries[path]
        getattr(nursery, "cancel_scope", nursery).cancel()

    def cancel_scope(self, path: str) -> None:
        self.driver.scopes[path].cancel()


KINDS = st.sampled_from(["leaf", "fragile leaf", "owner", "fragile owner"])


class NurseryReferee(Referee):
    """Starts children, lets bodies return or fail, cancels nurseries and scopes, in batches, on both."""

    @initialize(kind=st.sampled_from(["owner", "fragile owner"]))
    def plant(self, kind: str) -> None:
        self.begin()
        self.trees = [Tree(driver) for driver in self.drivers]
        self.children = 0
        for driver, tree in zip(self.drivers, self.trees, strict=True):
            driver.start("0", tree.node, "0", kind)

    def on_both(self, steps: list[Callable[[Tree], object]]) -> None:
        """Take the steps within one turn, then compare at rest."""
        for driver, tree in zip(self.drivers, self.trees, strict=True):

            def take(tree: Tree = tree) -> None:
                for step in steps:
                    step(tree)

            assert driver.call(take) == "returned None"
        self.rest()
        for name in ("commands", "nurseries"):
            assert set(getattr(self.trees[1], name)) == set(getattr(self.trees[0], name))

    @precondition(lambda self: self.trees[1].nurseries)
    @rule(data=st.data(), kinds=st.lists(KINDS, min_size=1, max_size=3))
    def start_children(self, data: st.DataObject, kinds: list[str]) -> None:
        path = data.draw(st.sampled_from(sorted(self.trees[1].nurseries)))
        steps: list[Callable[[Tree], object]] = []
        for kind in kinds:
            self.children += 1
            child = f"{path}.{self.children}"
            steps.append(functools.partial(Tree.start_child, path=path, child=child, kind=kind))
        if data.draw(st.booleans()):
            # Cancelled before it has begun.
            at = data.draw(st.integers(0, len(steps)))
            steps.insert(at, functools.partial(Tree.cancel_nursery, path=path))
        self.on_both(steps)

    @precondition(lambda self: self.trees[1].commands)
    @rule(data=st.data())
    def end_bodies(self, data: st.DataObject) -> None:
        paths = data.draw(
            st.lists(st.sampled_from(sorted(self.trees[1].commands)), min_size=1, max_size=3, unique=True)
        )
        # One failure at a time: asyncio cancels a task that has been told to go on and has not run yet, trio does not.
        order = data.draw(st.sampled_from(["return", "fail"] if len(paths) == 1 else ["return"]))
        self.on_both([functools.partial(Tree.command, path=path, order=order) for path in paths])

    @precondition(lambda self: self.trees[1].nurseries)
    @rule(data=st.data())
    def cancel_nursery(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.trees[1].nurseries)))
        self.on_both([functools.partial(Tree.cancel_nursery, path=path)])

    @precondition(lambda self: self.drivers[1].scopes)
    @rule(data=st.data())
    def cancel_scopes(self, data: st.DataObject) -> None:
        paths = data.draw(
            st.lists(st.sampled_from(sorted(self.drivers[1].scopes)), min_size=1, max_size=3, unique=True)
        )
        self.on_both([functools.partial(Tree.cancel_scope, path=path) for path in paths])

    @precondition(lambda self: not self.drivers[1].scopes)
    @rule(kind=st.sampled_from(["owner", "fragile owner"]))
    def plant_again(self, kind: str) -> None:
        self.teardown()
        self.plant(kind)


globals().update(on_each_loop(NurseryReferee))
