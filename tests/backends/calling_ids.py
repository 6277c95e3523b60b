# SPDX-License-Identifier: Apache-2.0
"""Steps that `calling_app` runs in processes: ids of calls, and handles that are found by them or sent."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import actorpool as modal
from tests.backends.calling_app import (
    Refusal,
    call_now_and_then,
    far_double,
    hold,
    refuse,
    slow_double,
    tenant,
    whoami,
)


def do_ids() -> Any:
    mine = modal.current_function_call_id()
    call = whoami.spawn()
    tenant.set("Ada")
    return mine, call.object_id, call.get(), whoami.remote()


def do_spawn_id(x: int) -> Any:
    """Spawn, and give out the id alone."""
    return slow_double.spawn(x, 0.1).object_id, modal.current_function_call_id()


def do_find(call_id: str) -> Any:
    call = modal.FunctionCall.from_id(call_id)
    return call.get(), call.num_inputs(), call.object_id == call_id, list(call.iter())


def do_find_nothing(call_id: str) -> str:
    try:
        modal.FunctionCall.from_id(call_id).get()
    except modal.exception.Error as error:
        return f"{type(error).__name__}: {error}"
    return "found"


def do_hand_out(x: int) -> Any:
    return slow_double.spawn(x), slow_double.experimental_spawn_map(range(x))


def do_hand_out_failed() -> Any:
    call = refuse.spawn("late")
    while not call.done:
        time.sleep(0.01)
    return call


_seen: list[Any] = []


def do_see_failure() -> str:
    """Look at a failure, and keep its handle for as long as the process lives."""
    _seen.append(refuse.spawn("seen"))
    try:
        return str(_seen[0].get())
    except Refusal as error:
        return str(error)


def do_see_failure_of(call: modal.FunctionCall[Any]) -> str:
    try:
        return str(call.get())
    except Refusal as error:
        return str(error)


def do_take_over(call: modal.FunctionCall[int]) -> int:
    return call.get()


async def ado_take_over(call: modal.FunctionCall[int]) -> int:
    return await call.get.aio()


async def ado_ask_beside_others(verb: str, folder: str) -> Any:
    """Ask the app's process while its loop is blocked, until another task of this one has got on."""
    first = await slow_double.spawn.aio(4)

    async def get_on() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
        Path(folder, "got on").touch()

    Path(folder, "ready").touch()
    while not Path(folder, "blocked").exists():
        await asyncio.sleep(0.001)
    getting_on = asyncio.create_task(get_on())
    if verb == "spawn":
        call = await slow_double.spawn.aio(5)
        result: Any = await call.get.aio()
    else:
        result = len(await first.get_call_graph.aio())
    await getting_on
    return result


async def ado_own_call() -> modal.FunctionCall[Any]:
    return modal.FunctionCall.from_id(str(modal.current_function_call_id()))


def do_is_its_own_result(call_id: str) -> bool:
    call = modal.FunctionCall.from_id(call_id)
    return call.get() is call is modal.FunctionCall.from_id(call_id)


def do_find_at_once(call_id: str, threads: int) -> int:
    """Find one call in several threads at once; return the sum of what each gets."""
    with ThreadPoolExecutor(threads) as pool:
        found = [pool.submit(modal.FunctionCall.from_id, call_id) for _ in range(50 * threads)]
        return sum(one.result().get() for one in found)


def do_read_calls(n: int) -> list[int]:
    items = call_now_and_then.remote_gen(n)
    return [item.get() // 2 if isinstance(item, modal.FunctionCall) else item for item in items]


def do_cancel(path: str) -> str:
    call = hold.spawn(path)
    while not Path(path).exists():
        time.sleep(0.01)
    call.cancel(terminate_containers=True)
    try:
        call.get()
    except modal.exception.RemoteError as error:
        return str(error)
    return "not cancelled"


def do_graph() -> Any:
    call = far_double.spawn(1)
    call.get()
    return [(one.function_name, one.status.name, len(one.children)) for one in call.get_call_graph()]
