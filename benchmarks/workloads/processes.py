# SPDX-License-Identifier: Apache-2.0
"""Inputs in processes: no-ops, bytes there and back, work that keeps a processor busy, one call, a first call."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from typing import Any

import actorpool as modal

from .._measures import EachCall, PerInput, Run
from .._registry import Goal, contender, workload
from ._process_floors import Children, Echoes, echo_once, fork, reap

Call = Callable[[int], Any]
# What a peer offers: the results of a body for each of some arguments, in their order.
Mapping = Callable[[Callable[[Any], Any], list[Any]], list[Any]]

PROCESSES = 2
BUSY_S = 0.001

app = modal.App("benchmarks-processes")


def no_op(x: int) -> int:
    return x


def echo(content: bytes) -> bytes:
    return content


def busy(x: int) -> int:
    until = time.thread_time() + BUSY_S
    while time.thread_time() < until:
        pass
    return x


pool = partial(app.function, backend="process", min_containers=PROCESSES, max_containers=PROCESSES)
functions: dict[Callable[[Any], Any], Any] = {
    body: pool(name=body.__name__)(body) for body in (no_op, echo, busy)
}


# -- the ways to run a body in processes ------------------------------------------------------------------


def with_actorpool() -> Iterator[Mapping]:
    with app.run():
        yield lambda body, values: list(functions[body].map(values))


def with_executor() -> Iterator[Mapping]:
    with ProcessPoolExecutor(PROCESSES) as executor:
        yield lambda body, values: list(executor.map(body, values))


def with_imap() -> Iterator[Mapping]:
    with multiprocessing.Pool(PROCESSES) as processes:
        yield lambda body, values: list(processes.imap(body, values))


def with_joblib() -> Iterator[Mapping]:
    joblib = importlib.import_module("joblib")
    with joblib.Parallel(PROCESSES) as parallel:
        yield lambda body, values: list(parallel(joblib.delayed(body)(value) for value in values))


def with_loky() -> Iterator[Mapping]:
    # Its processes stay for the next sample, as joblib's do: asleep, but warm.
    executor = importlib.import_module("loky").get_reusable_executor(max_workers=PROCESSES)
    yield lambda body, values: list(executor.map(body, values))


def with_pebble() -> Iterator[Mapping]:
    with importlib.import_module("pebble").ProcessPool(PROCESSES) as processes:
        yield lambda body, values: list(processes.map(body, values).result())


def with_ray() -> Iterator[Mapping]:
    ray = importlib.import_module("ray")
    ray.init(
        num_cpus=PROCESSES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=True,
    )
    remote = {body: ray.remote(body) for body in functions}
    yield lambda body, values: list(ray.get([remote[body].remote(value) for value in values]))
    ray.shutdown()


# Those that take seconds to start are given few rounds, and none with --quick.
SLOW = {"ray": 2}
WAYS: tuple[tuple[str, str, Callable[[], Iterator[Mapping]]], ...] = (
    ("ProcessPoolExecutor.map", "multiprocessing", with_executor),
    ("Pool.imap", "multiprocessing", with_imap),
    ("joblib", "joblib", with_joblib),
    ("loky", "loky", with_loky),
    ("pebble", "pebble", with_pebble),
    ("ray", "ray", with_ray),
)


@lru_cache
def contents(size: int) -> list[bytes]:
    """Return the contents of `size` bytes that there are already."""
    return []


def payloads(n: int, size: int) -> list[bytes]:
    """Return `n` contents of `size` bytes, each an object of its own.

    Whoever pickles many inputs together would send one that comes again only once.
    """
    made = contents(size)
    made += [number.to_bytes(8, "big") * (size // 8) for number in range(len(made), n)]
    return made[:n]


def mapped(run: Mapping, body: Callable[[Any], Any], values: Callable[[int], list[Any]], n: int) -> list[Any]:
    return run(body, values(n))


def close_peers() -> None:
    """End the processes that peers keep for a next time."""
    for name in ("joblib.externals.loky", "loky"):
        if name in sys.modules:
            # As it is, whoever made it; by default it would be replaced by one like the call's arguments.
            executor = sys.modules[name].get_reusable_executor(max_workers=PROCESSES, reuse=True)
            # That of joblib's has folders of shared memory as well.
            getattr(executor, "terminate", executor.shutdown)(kill_workers=True)
    # There is no public way to end these; Python's own tests do it so.
    for name, module in list(sys.modules.items()):
        if name == "multiprocessing.forkserver":
            module._forkserver._stop()
        elif name.endswith((".resource_tracker", ".stdlib_py314_resource_tracker")):
            # Python's, and that of each loky: what the executors had, they have given back.
            tracker = getattr(module, "_resource_tracker", None)
            if tracker is not None:
                tracker._stop()


def register(name: str, body: Callable[[Any], Any], values: Callable[[int], list[Any]], full: int) -> None:
    """Register the ways to map `body` over the values of `n` inputs, `full` of which are made beforehand."""

    def offer(way: Callable[[], Iterator[Mapping]]) -> Callable[[], Generator[Run]]:
        def contend() -> Generator[Run]:
            values(full)
            for run in way():
                yield partial(mapped, run, body, values)

        return contend

    contender(name, "actorpool", role="ours")(offer(with_actorpool))
    for called, requires, way in WAYS:
        contender(name, called, requires=requires, most_rounds=SLOW.get(called))(offer(way))


def register_children(name: str, body: Callable[[int], int]) -> None:
    """Register the floor of the maps over numbers."""

    @contender(name, "fork, half of the inputs each", role="floor")
    def floor() -> Generator[Run]:
        children = Children(PROCESSES, body)
        yield children.run
        children.close()


workload(
    name="process-map",
    title="map of a no-op, 2 processes, no chunk size given",
    measure=PerInput(),
    full=10_000,
    quick=3_000,
    goals=(Goal("must", 0.2, "ProcessPoolExecutor.map"), Goal("ambition", 1.0, "joblib")),
    after=close_peers,
    quick_rounds=2,
)
register("process-map", no_op, lambda n: list(range(n)), 10_000)
register_children("process-map", no_op)

for name, title, size, full, goals in (
    (
        "process-echo-64k",
        "map of an echo of 64 KiB, 2 processes",
        1 << 16,
        2_000,
        (Goal("must", 1.0, "joblib"), Goal("ambition", 1.5, "floor")),
    ),
    (
        "process-echo-1m",
        "map of an echo of 1 MiB, 2 processes",
        1 << 20,
        200,
        (Goal("must", 0.6, "ProcessPoolExecutor.map"), Goal("ambition", 1.3, "floor")),
    ),
):
    values = partial(payloads, size=size)
    workload(
        name=name,
        title=title,
        measure=PerInput(expected=values),
        full=full,
        quick=full // 4,
        goals=goals,
        after=close_peers,
        quick_rounds=2,
    )
    register(name, echo, values, full)

    @contender(name, "shared memory", role="floor")
    def shared_memory(size: int = size, full: int = full) -> Generator[Run]:
        payloads(full, size)
        echoes = Echoes(PROCESSES, size)
        yield lambda n: echoes.run(payloads(n, size))
        echoes.close()


workload(
    name="process-busy",
    title="map of 1 ms of CPU, 2 processes",
    measure=PerInput(),
    full=1_000,
    quick=300,
    goals=(Goal("must", 1.03, "best peer"), Goal("ambition", 1.0, "best peer")),
    remark=(
        "Two processes work on two processors, so what the parent does is taken from them: 36 to 55 µs of processor "
        "time for an input, and 20 µs of each process beside the work. It was 58 to 79 and 30 while 4 ms of work went "
        "ahead: half of that, which is left when more is sent, did not last until it was read, because results are "
        "held for 2 ms and a thread in Python code keeps the interpreter from the loop for 5; one input in ten was the "
        "last that its process had. Now 20 ms go ahead, the caller is woken for its next result alone, and the timer "
        "that looks for silence is put off: 330 turns of the loop, 200 wake-ups of the caller and 92 messages with "
        "inputs for 1,000 of them, instead of 490, 393 and 301. The processes are idle for at most 2 ms at either end. "
        "Tried: 32 and 60 ms ahead, which changes nothing; holding results for 4 ms, which takes 5 to 8 µs of the "
        "parent's time away and nothing of the wall's."
    ),
    after=close_peers,
    quick_rounds=2,
)
register("process-busy", busy, lambda n: list(range(n)), 1_000)
register_children("process-busy", busy)


# -- one call ---------------------------------------------------------------------------------------------

workload(
    name="call-process",
    title="one call of a no-op in a process",
    measure=EachCall(),
    full=1_000,
    quick=300,
    goals=(Goal("must", 0.6, "pebble"), Goal("ambition", 1.5, "floor")),
    remark=(
        "Three wake-ups, 10 to 15 µs each: the worker's thread, which reads the socket itself while it is idle; the "
        "loop, which reads the answer; the caller. The caller writes its input itself. It was four with a loop that "
        "reads in the worker: 163 µs, then 141, and 116 now that whoever writes a message does so without a queue, and "
        "the half of a call's id that takes a hash is made only if somebody asks for it. The rest is Python, run cold "
        "after each wake-up: 35 function calls, 18 µs, before the write; 45 in the worker; 33, of which 13 are "
        "asyncio's, from the answer to the caller. Pebble takes 120 to 220 µs here, from one run to the next. Tried "
        "and of no use that could be measured: seven calls less on these three stretches. Not tried: a caller that "
        "reads its answer itself, which would take the loop's wake-up and its fight for the interpreter's lock away."
    ),
    after=close_peers,
    quick_rounds=2,
)


@contender("call-process", "actorpool", role="ours")
def call_actorpool() -> Generator[Call]:
    with app.run():
        yield functions[no_op].remote


@contender("call-process", "ProcessPoolExecutor.submit")
def call_executor() -> Generator[Call]:
    with ProcessPoolExecutor(PROCESSES) as executor:
        yield lambda x: executor.submit(no_op, x).result()


@contender("call-process", "loky", requires="loky")
def call_loky() -> Generator[Call]:
    executor = importlib.import_module("loky").get_reusable_executor(max_workers=PROCESSES)
    yield lambda x: executor.submit(no_op, x).result()


@contender("call-process", "pebble", requires="pebble")
def call_pebble() -> Generator[Call]:
    with importlib.import_module("pebble").ProcessPool(PROCESSES) as processes:
        yield lambda x: processes.schedule(no_op, args=(x,)).result()


@contender("call-process", "ray", requires="ray", most_rounds=2)
def call_ray() -> Generator[Call]:
    for run in with_ray():
        yield partial(first, run)


def first(run: Mapping, x: int) -> Any:
    return run(no_op, [x])[0]


@contender("call-process", "fork, a byte there and back", role="floor")
def call_floor() -> Generator[Call]:
    pid, sock = fork(echo_once)

    def call(x: int) -> int:
        sock.send(x.to_bytes(8, "big"))
        return int.from_bytes(sock.recv(8), "big")

    yield call
    reap(pid, sock)


workload(
    name="start-process",
    title="first call of a function in a process: container start to result",
    measure=EachCall(),
    full=20,
    quick=10,
    goals=(Goal("must", 5_000.0), Goal("ambition", 1_000.0)),
    remark=(
        "7 to 8 ms of processor time on two processors, of which 4 to 5 are the container's, 1.6 the template's and "
        "1.2 the parent's; and what the answer waits for has to wait for a processor as well, while the next spare, "
        "which the next call needs, is made. The container's time is page faults: it copies 1,000 pages, at 3.5 to 4 "
        "µs each, half of them before it waits for its socket; the template has 200 after each fork. It was 1,110, and "
        "15 to 30 % more time, before the template ran through a container's life itself, so that what Python learns "
        "of code is learned once. Of the 1,110, 400 were the same afterwards and 80 differed in reference counts "
        "alone. Nothing is imported, and the message that starts the container is there when its process comes to "
        "read. Tried: having the kernel copy the pages in few calls (MADV_POPULATE_WRITE), which takes 2 µs for each "
        "page where they lie together, and longer than the faults as they lie; new objects away from the holes in old "
        "memory, 15 pages less; copies of all code that the rehearsal runs, side by side, 60 less; a rehearsal in the "
        "spare as well, 2 ms more of processor time; SCHED_BATCH and SCHED_IDLE for the spare, and letting others go "
        "first at each of its function calls, which could not be told from noise. Forking the spare 3 ms after the "
        "last request: 5.8 to 6.7 ms instead of 4.2 to 6.3, and better only where calls are further apart. Not done: "
        "writing to the headers of functions, code and types that they are immortal, which with CPython 3.12 spares "
        "230 faults and a millisecond, but is nothing that a library may do."
    ),
    after=close_peers,
    quick_rounds=2,
)

# As many as a sample with its warm-up has calls.
COLD = 24


@contender("start-process", "actorpool", role="ours")
def start_actorpool() -> Generator[Call]:
    many = modal.App("benchmarks-start-process")
    cold = iter([many.function(name=f"no_op_{n}", backend="process")(no_op) for n in range(COLD)])
    warm = many.function(name="warm", backend="process", min_containers=1)(no_op)
    with many.run():
        # The app's template has started.
        assert warm.remote(1) == 1
        yield lambda x: next(cold).remote(x)


@contender("start-process", "Process of a forkserver")
def start_forkserver() -> Generator[Call]:
    context = multiprocessing.get_context("forkserver")

    def call(x: int) -> int:
        ours, theirs = context.Pipe()
        process = context.Process(target=answer, args=(theirs, x))
        process.start()
        result: int = ours.recv()
        process.join()
        return result

    assert call(1) == 1
    yield call


def answer(pipe: Any, x: int) -> None:
    pipe.send(no_op(x))


@contender("start-process", "loky", requires="loky", most_rounds=2)
def start_loky() -> Generator[Call]:
    def call(x: int) -> int:
        with importlib.import_module("loky").ProcessPoolExecutor(1) as executor:
            return int(executor.submit(no_op, x).result())

    yield call


@contender("start-process", "fork and a pipe", role="floor")
def start_fork() -> Generator[Call]:
    def call(x: int) -> int:
        def serve(sock: Any) -> None:
            sock.send(no_op(x).to_bytes(8, "big"))

        pid, sock = fork(serve)
        result = int.from_bytes(sock.recv(8), "big")
        reap(pid, sock)
        return result

    yield call
