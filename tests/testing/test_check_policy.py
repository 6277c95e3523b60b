# SPDX-License-Identifier: Apache-2.0
"""`check_policy` passes policies that do what the protocol says, and names the rule that another one breaks."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from attrs import evolve

from actorpool import AdaptivePolicy, Decision, ScalingPolicy, Snapshot, WindowPolicy
from actorpool.exception import InvalidError
from actorpool.testing import ConformanceError, check_policy


class Simple:
    """As many containers as there are inputs, and none that idles."""

    def decide(self, snapshot: Snapshot) -> Decision:
        wanted = -(-(snapshot.running + snapshot.pending) // snapshot.target_inputs)
        have = snapshot.ready + snapshot.starting
        return Decision(start=max(0, wanted - have), stop=max(0, min(snapshot.idle, have - wanted)))


class Learning(Simple):
    """Keeps a container for as long as inputs used to be apart."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self.mean = 1.0

    def arrived(self, now: float, seconds: float) -> None:
        if self.latest is not None:
            self.mean += (now - self.latest - self.mean) / 8
        self.latest = now

    def decide(self, snapshot: Snapshot) -> Decision:
        decision = super().decide(snapshot)
        if not decision.stop or snapshot.oldest_idle_since is None:
            return decision
        until = snapshot.oldest_idle_since + self.mean
        return decision if until <= snapshot.now else Decision(wake_at=until)


@pytest.mark.parametrize(
    "policy",
    [WindowPolicy, WindowPolicy(0.5), AdaptivePolicy, Simple, Learning, Learning()],
    ids=["class", "object", "adaptive", "own class", "learning class", "learning object"],
)
def test_policies_that_do_what_the_protocol_says_pass(policy: Any) -> None:
    check_policy(policy)


def test_the_default_policy_never_has_to_be_overruled() -> None:
    check_policy(WindowPolicy, strict=True)
    with pytest.raises(ConformanceError, match="overruled"):
        check_policy(Simple, strict=True)


class Hasty(WindowPolicy):
    """Keeps the minimum and the buffer, and stops at once what idles beyond."""

    def decide(self, snapshot: Snapshot) -> Decision:
        return super().decide(evolve(snapshot, expired=snapshot.idle))


def test_a_policy_that_starts_and_stops_under_a_constant_load_is_not_fit_for_all() -> None:
    check_policy(Hasty)
    with pytest.raises(
        ConformanceError, match="under a constant load the number of containers comes to rest"
    ):
        check_policy(Hasty, strict=True)


class OfTwo(Simple):
    """Whose decision depends on something else."""

    def other(self, snapshot: Snapshot) -> bool:
        raise NotImplementedError

    def decide(self, snapshot: Snapshot) -> Decision:
        decision = super().decide(snapshot)
        return Decision(start=decision.start + 1) if decision.start and self.other(snapshot) else decision


class Random(Simple):
    def decide(self, snapshot: Snapshot) -> Decision:
        return evolve(super().decide(snapshot), reason=f"{random.SystemRandom().random()}")


class OfTheClock(Simple):
    def decide(self, snapshot: Snapshot) -> Decision:
        return evolve(super().decide(snapshot), reason=f"{time.perf_counter_ns()}")


class Since1970(OfTwo):
    def other(self, snapshot: Snapshot) -> bool:
        return snapshot.now > 2.0**15


class Shared(OfTwo):
    looks: ClassVar[Any] = itertools.count()

    def other(self, snapshot: Snapshot) -> bool:
        return next(self.looks) % 3 == 0


class Uncopied(OfTwo):
    def __init__(self) -> None:
        self.looks = 0

    def __deepcopy__(self, memo: object) -> Uncopied:
        return Uncopied()

    def other(self, snapshot: Snapshot) -> bool:
        self.looks += 1
        return self.looks > 3


class SharedByCopies(Uncopied):
    def __init__(self) -> None:
        self.state = {"looks": 0}

    def __deepcopy__(self, memo: object) -> SharedByCopies:
        copied = SharedByCopies()
        copied.state = self.state
        return copied

    def other(self, snapshot: Snapshot) -> bool:
        self.state["looks"] += 1
        return self.state["looks"] % 3 == 0


class Raising(Simple):
    def decide(self, snapshot: Snapshot) -> Decision:
        if snapshot.now > 20:
            raise ZeroDivisionError
        return super().decide(snapshot)


class Restless(Simple):
    """Stops what idles and starts one to idle, turn by turn."""

    def decide(self, snapshot: Snapshot) -> Decision:
        if snapshot.idle or snapshot.starting:
            return Decision(stop=snapshot.idle, wake_at=snapshot.now + 3)
        decision = super().decide(snapshot)
        return Decision(start=max(1, decision.start), wake_at=snapshot.now + 3)


class AtOnce(Simple):
    def decide(self, snapshot: Snapshot) -> Decision:
        return Decision(start=1, wake_at=math.nextafter(snapshot.now, math.inf))


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (Random, "the same calls lead to the same decisions"),
        (OfTheClock, "the same calls lead to the same decisions"),
        (Shared, "the same calls lead to the same decisions"),
        (Since1970, "it does not matter when the clock began"),
        (Uncopied, "copy.deepcopy takes down its state"),
        (SharedByCopies, "a copy has a state of its own"),
        (Raising, "decide does not raise"),
        (Restless, "the pool comes to rest"),
        (AtOnce, "the pool comes to rest"),
    ],
)
def test_the_rule_that_is_broken_is_named(policy: Callable[[], ScalingPolicy], rule: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_policy(policy)
    assert rule == caught.value.rule
    assert str(caught.value).startswith(rule)


@pytest.mark.parametrize(
    ("decision", "found"),
    [
        (None, "None, which is no Decision"),
        (Decision(start=-1), "start is -1"),
        (Decision(start=1.0), "start is 1.0"),  # type: ignore[arg-type]
        (Decision(stop=True), "stop is True"),
        (Decision(cancel=-2), "cancel is -2"),
        (Decision(wake_above=-1), "wake_above is -1"),
        (Decision(wake_idle_s=math.nan), "wake_idle_s is nan"),
        (Decision(wake_at=-1.0), "wake_at is -1.0 at 0.0"),
        (Decision(wake_at=math.nan), "wake_at is nan"),
    ],
)
def test_decisions_that_cannot_be_carried_out_are_found(decision: Any, found: str) -> None:
    class Fixed:
        def decide(self, snapshot: Snapshot) -> Any:
            return decision

    with pytest.raises(ConformanceError, match="a decision is one that can be carried out") as caught:
        check_policy(Fixed)
    assert found in str(caught.value)


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(InvalidError, match="policy must be"):
        check_policy(3)  # type: ignore[arg-type]
