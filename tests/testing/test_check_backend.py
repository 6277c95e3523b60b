# SPDX-License-Identifier: Apache-2.0
"""`check_backend` on the backends that come with the package, and on containers that break a rule each."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import evolve

import actorpool as modal
from actorpool._actors._runtime import AppRuntime
from actorpool._backends._local import LocalContainer
from actorpool._backends._thread_gate import ThreadGate
from actorpool._core._input import FAILED, RUNNING, Input
from actorpool._core._threads import ThreadBudget
from actorpool._spec import PoolSpec
from actorpool.exception import InvalidError
from actorpool.testing import (
    BACKEND_RULES,
    ConformanceError,
    ContainerBackend,
    ContainerFate,
    ContainerParts,
    FakeBackend,
    HostName,
    InputFate,
    check_backend,
)
from actorpool.testing import _conformance_work as work

if TYPE_CHECKING:
    from actorpool.testing._faults import StartFate


def make_local(parts: ContainerParts, *, kind: type[LocalContainer] = LocalContainer) -> LocalContainer:
    gate = ThreadGate(parts.host, ThreadBudget(100), lambda _: None, lambda *_: None)
    return kind(parts.name, parts.workload, parts.host, parts.complete, gate)


def _process_spec() -> PoolSpec:
    app = modal.App(backend="process")
    app.function(name="f")(work.echo)
    return app._contents.functions["f"].spec


PROCESS_SPEC = _process_spec()


class MakeProcess:
    """Makes process containers as an app does, all in one runtime."""

    def __init__(self) -> None:
        self.runtime: AppRuntime | None = None

    def __call__(self, parts: ContainerParts) -> ContainerBackend:
        if self.runtime is None:
            self.runtime = AppRuntime(
                "conformance", parts.host, max_threads=9, max_processes=9, grace_s=parts.grace_s
            )
            parts.resources.push_async_callback(self.runtime.templates().close)
        supervisor: Any = SimpleNamespace(dispatcher=SimpleNamespace(complete=parts.complete))
        spec = PROCESS_SPEC.with_workload(parts.workload)
        return spec._process_maker(self.runtime, lambda: supervisor)(parts.name, parts.owner)


def kill(container: Any) -> None:
    os.kill(container._pid, signal.SIGKILL)


DEATH, NOTHING_LEFT = BACKEND_RULES[-2:]


@pytest.mark.parametrize("rule", [rule for rule in BACKEND_RULES if rule != DEATH])
@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_local_containers(host: HostName, rule: str) -> None:
    check_backend(make_local, host=host, rules=[rule])


def make_fake(parts: ContainerParts) -> FakeBackend:
    """Return a fake container whose fate, and whose inputs' fates, are what the workload would have done."""

    def fate_of(input: Input) -> InputFate:
        name = input.target.name
        if name == work.FAILING:
            return InputFate(fails=1)
        seconds = input.args[1] if name in ("wait", "stubborn") else 0.0
        return InputFate(service_s=seconds, deaf_s=seconds if name == "stubborn" else 0.0)

    starts = {"failing start": "enter hook raises", "hanging start": "enter hook hangs"}
    fate = ContainerFate(start=cast("StartFate", starts.get(parts.workload.name, "succeeds")))
    return FakeBackend(
        parts.name,
        parts.host,
        parts.complete,
        parts.owner,
        fate=fate,
        fate_of=fate_of,
        result_of=lambda input: input.args[0] if input.args else (input.kwargs or {})["x"],
    )


# It runs no code of the user's: neither what raises an error of the user's own, nor hooks.
OF_USERS_CODE = {
    "what an input raises is reported as it was raised",
    "the object is made and entered before the first input, and left after the last",
    "a start that fails raises what failed, and leaves nothing to be left",
}


@pytest.mark.parametrize("rule", [rule for rule in BACKEND_RULES if rule not in OF_USERS_CODE])
@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_fake_containers(host: HostName, rule: str) -> None:
    check_backend(make_fake, host=host, rules=[rule], kill=FakeBackend.die)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_process_containers() -> None:
    check_backend(MakeProcess(), real_time=True, kill=kill)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_process_containers_on_trio() -> None:
    rules = [
        BACKEND_RULES[0],
        "a cancelled coroutine ends, and gives its slot back once",
        DEATH,
        NOTHING_LEFT,
    ]
    check_backend(MakeProcess(), host="trio", real_time=True, kill=kill, rules=rules)


# -- containers that break a rule --------------------------------------------------------------------------


class Twice(LocalContainer):
    """Reports each end twice."""

    @classmethod
    def make(cls, parts: ContainerParts) -> LocalContainer:
        def complete(input: Input, state: int, value: Any) -> Input | None:
            parts.complete(input, state, value)
            return parts.complete(input, state, value)

        return make_local(evolve(parts, complete=complete))


class Wrapping(LocalContainer):
    """Reports another error than was raised."""

    @classmethod
    def make(cls, parts: ContainerParts) -> LocalContainer:
        def complete(input: Input, state: int, value: Any) -> Input | None:
            return parts.complete(input, state, RuntimeError(*value.args) if state == FAILED else value)

        return make_local(evolve(parts, complete=complete))


class Forgetful(LocalContainer):
    """Runs nothing that takes a slot at once."""

    @classmethod
    def make(cls, parts: ContainerParts) -> LocalContainer:
        def complete(input: Input, state: int, value: Any) -> None:
            parts.complete(input, state, value)

        return make_local(evolve(parts, complete=complete))


class Narrow(LocalContainer):
    """Has one thread for all slots."""

    @classmethod
    def make(cls, parts: ContainerParts) -> LocalContainer:
        return make_local(evolve(parts, workload=evolve(parts.workload, max_inputs=1)))


class Eager(LocalContainer):
    """Runs what has its outcome."""

    @property
    def send(self) -> Callable[[Input], None]:
        send = super().send

        def send_anyhow(input: Input) -> None:
            input.state = RUNNING
            send(input)

        return send_anyhow


class Deaf(LocalContainer):
    """Cancels nothing."""

    def cancel(self, input: Input) -> None:
        pass


class Patient(LocalContainer):
    """Waits for interrupted work for as long as it takes."""

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        await super().stop(leftover, 1_000.0)


class Endless(LocalContainer):
    """Never stops."""

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        await super().stop(leftover, grace_s)
        await self._host.event().wait()


class Careless(LocalContainer):
    """Stops without running the exit hooks."""

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        self._entered = False
        await super().stop(leftover, grace_s)


class Undaunted(LocalContainer):
    """Takes a failed or interrupted start for a start."""

    async def start(self) -> None:
        try:
            await super().start()
        except BaseException:
            return


class Littering(LocalContainer):
    """Leaves a thread behind, which ends with the process."""

    async def start(self) -> None:
        await super().start()
        threading.Thread(target=litter.wait, name="litter", daemon=True).start()


class Failing(LocalContainer):
    """Raises where nobody handles it."""

    async def start(self) -> None:
        await super().start()
        asyncio.get_running_loop().call_soon(int, "no number")


litter = threading.Event()


@pytest.fixture
def _litter_is_collected() -> Iterator[None]:
    litter.clear()
    yield
    litter.set()


@pytest.mark.usefixtures("_litter_is_collected")
@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (Twice, "the result of an input is reported once"),
        (Wrapping, "what an input raises is reported as it was raised"),
        (Forgetful, "the input that takes a slot at once is run next"),
        (Narrow, "inputs run at the same time, one in each slot"),
        (Eager, "an input that has its outcome on its way is not run"),
        (Deaf, "a cancelled coroutine ends, and gives its slot back once"),
        (Patient, "stopping waits for interrupted work, but not for ever"),
        (Endless, "a container that was never started can be stopped"),
        (Careless, "the object is made and entered before the first input, and left after the last"),
        (Undaunted, "a start that fails raises what failed, and leaves nothing to be left"),
        (Undaunted, "a start that is called off ends"),
        (Littering, "nothing is left behind"),
        (Failing, "nothing is left behind"),
    ],
)
def test_the_rule_that_is_broken_is_named(broken: Any, rule: str) -> None:
    make = getattr(broken, "make", None) or partial(make_local, kind=broken)
    rules = [rule, "the object is made and entered before the first input, and left after the last"]
    with pytest.raises(ConformanceError) as caught:
        check_backend(make, rules=rules[::-1] if rule == NOTHING_LEFT else rules)
    assert rule == caught.value.rule


def test_a_death_that_nobody_reports_is_found() -> None:
    with pytest.raises(ConformanceError, match=r"owner\.lost\(\) was not called"):
        check_backend(make_local, rules=[DEATH], kill=lambda _: None)


def test_rules_that_do_not_exist_or_cannot_be_checked_are_refused() -> None:
    with pytest.raises(InvalidError, match="there is no rule 'be nice'"):
        check_backend(make_local, rules=["be nice"])
    with pytest.raises(InvalidError, match="needs kill="):
        check_backend(make_local, rules=[DEATH])
