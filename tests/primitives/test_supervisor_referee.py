# SPDX-License-Identifier: Apache-2.0
"""Our supervisor on asyncio, on trio, and as a naive model: trio has none, so two hosts and the model must agree.

The model keeps a set of running children and a number of restarts, and knows nothing of mailboxes, effects or tasks.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from actorpool.primitives import Backoff, ChildSpec, RestartIntensity, Supervisor
from tests.primitives.referee import Driver, Referee, on_each_loop

NAMES = ["a", "b", "c", "d"]
RULES = st.sampled_from(["permanent", "transient", "temporary"])
FAMILIES = st.dictionaries(st.sampled_from(NAMES), RULES, max_size=4)
ALLOWED = st.integers(0, 6)
STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])


class OrderedError(Exception):
    pass


@define
class Model:
    """What should be running."""

    rules: dict[str, str]
    strategy: str
    allowed: int
    running: set[str] = field(factory=set)
    starts: dict[str, int] = field(factory=dict)
    failed: set[str] = field(factory=set)
    restarts: int = 0
    outcome: str | None = None

    def start(self, names: set[str]) -> None:
        self.running |= names
        for name in names:
            self.starts[name] = self.starts.get(name, 0) + 1
        if not self.running and self.outcome is None:
            self.outcome = "returned None"

    def exit(self, name: str, fails: bool) -> None:
        self.running.remove(name)
        if fails:
            self.failed.add(name)
        if self.rules[name] == "temporary" or (self.rules[name] == "transient" and not fails):
            self.start(set())
            return
        if self.restarts == self.allowed:
            self.end("raised RestartIntensityError")
            return
        self.restarts += 1
        names = list(self.rules)
        bound = {
            "one_for_one": [],
            "one_for_all": names,
            "rest_for_one": names[names.index(name) :],
        }[self.strategy]
        stopped = self.running & set(bound)
        self.running -= stopped
        self.start({name} | {other for other in stopped if self.rules[other] != "temporary"})

    def end(self, outcome: str) -> None:
        self.running.clear()
        self.outcome = self.outcome or outcome


class Family:
    """The supervisor of one driver, and its children, which wait for orders."""

    def __init__(self, driver: Driver, rules: dict[str, Any], strategy: Any, allowed: int) -> None:
        self.driver = driver
        self.orders: dict[str, tuple[Any, list[str]]] = {}
        self.ends: list[str] = []
        self.supervisor = Supervisor(
            [ChildSpec(name, self.child(name), restart=rule) for name, rule in rules.items()],
            strategy=strategy,
            intensity=RestartIntensity(max_restarts=allowed, window_s=1e9),
            backoff=Backoff(initial_s=0.0),
        )

    def child(self, name: str) -> Any:
        async def run() -> None:
            event, orders = self.driver.event(), list[str]()
            assert name not in self.orders, "it runs twice at a time"
            self.orders[name] = event, orders
            try:
                await event.wait()
            finally:
                del self.orders[name]
                self.ends.append(name)
            if orders[0] == "fail":
                raise OrderedError(name)

        return run

    def order(self, name: str, what: str) -> None:
        event, orders = self.orders[name]
        orders.append(what)
        event.set()


class SupervisorReferee(Referee):
    """Lets children end and fail, stops and cancels, at random."""

    @initialize(rules=FAMILIES, strategy=STRATEGIES, allowed=ALLOWED)
    def make(self, rules: dict[str, str], strategy: str, allowed: int) -> None:
        self.begin()
        self.families = [Family(driver, rules, strategy, allowed) for driver in self.drivers]
        self.model = Model(rules, strategy, allowed)
        self.model.start(set(rules))
        for family in self.families:
            family.driver.start("supervisor", family.supervisor.run)
        self.rest()

    @precondition(lambda self: self.model.outcome is not None)
    @rule(rules=FAMILIES, strategy=STRATEGIES, allowed=ALLOWED)
    def make_another(self, rules: dict[str, str], strategy: str, allowed: int) -> None:
        self.teardown()
        self.make(rules, strategy, allowed)

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), fails=st.booleans())
    def child_exits(self, data: st.DataObject, fails: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.running)))
        self.model.exit(name, fails)
        for family in self.families:
            assert "returned None" == family.driver.call(family.order, name, "fail" if fails else "return")
        self.rest()

    @precondition(lambda self: self.model.outcome is None)
    @rule()
    def stop(self) -> None:
        self.model.end("returned None")
        for family in self.families:
            assert "returned None" == family.driver.call(family.supervisor.stop)
        self.rest()

    @precondition(lambda self: self.drivers[1].scopes)
    @rule()
    def cancel(self) -> None:
        self.model.end("cancelled")
        for driver in self.drivers:
            driver.cancel("supervisor")
        self.rest()

    @invariant()
    def both_are_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        for family in self.families:
            assert model.running == set(family.orders)
            assert model.outcome == family.driver.outcomes.get("supervisor")
            statistics = family.supervisor.statistics()
            children = {child.name: child for child in statistics.children}
            assert model.starts == {name: child.starts for name, child in children.items()}
            failed = {name for name, child in children.items() if isinstance(child.last_error, OrderedError)}
            assert model.failed == failed
            assert model.restarts == statistics.restarts_within_window
            if model.outcome is None:
                running = {name for name, child in children.items() if child.state.value == "running"}
                assert model.running == running

    @invariant()
    def children_end_in_the_same_order(self) -> None:
        if hasattr(self, "families") and self.model.outcome != "cancelled":
            ours, trios = self.families
            assert trios.ends == ours.ends


globals().update(on_each_loop(SupervisorReferee))
