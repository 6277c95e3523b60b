# SPDX-License-Identifier: Apache-2.0
"""Recordings: what of a live app gets into the file, whatever happens to its inputs, and which files are refused."""

from __future__ import annotations

import errno
import io
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

import actorpool as modal
from actorpool.exception import ConflictError, InvalidError, TraceError
from actorpool.simulate import read_recording, record, simulate
from tests.api.support import gather, sleep

Run = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.mp"


def test_a_running_app_is_recorded_from_here_to_there(run_virtually: Run, path: Path) -> None:
    app = modal.App("shop")

    @app.function(max_containers=3, scaledown_window=7.0)
    async def work(seconds: float) -> None:
        await sleep(seconds)

    async def main() -> None:
        async with app.run():
            early = work.spawn(100.0)
            await work.remote.aio(5.0)
            with record(app, path):
                await gather(lambda: work.remote.aio(1.0), lambda: work.remote.aio(2.0))
                await sleep(3.0)
            await work.remote.aio(4.0)
            await early.get.aio()

    run_virtually(main)
    recorded = read_recording(path)

    assert "shop" == recorded.name
    work_done = recorded.function("work")
    # Neither what came before nor what came after, nor what did not end meanwhile.
    assert [1.0, 2.0] == pytest.approx(sorted(work_done.trace.services), abs=1e-3)
    assert recorded.duration_s == pytest.approx(5.0, abs=1e-3)
    assert (3, 7.0) == (
        work_done.trace.settings.max_containers,
        work_done.trace.settings.scaledown_window,
    )
    # Two containers were there from the beginning to the end, a third one came.
    assert 3 == work_done.report.peak_containers
    assert work_done.report.container_seconds == pytest.approx(15.0, abs=1e-2)


def test_a_pool_is_of_its_own_class_before_and_after(path: Path) -> None:
    app = modal.App()

    @app.function()
    def work() -> None:
        return None

    with app.run():
        work.remote()
        supervisor = app._life.runtime().supervisors()["work"]
        usual = supervisor.dispatcher.read(type)
        with record(app, path):
            assert "RecordedPool" == supervisor.dispatcher.read(type).__name__
            work.remote()
        assert usual is supervisor.dispatcher.read(type)
        work.remote()

    assert 1 == len(read_recording(path).function("work").trace)


def test_every_verb_and_every_outcome_is_recorded(path: Path) -> None:
    app = modal.App()

    @app.function(retries=modal.Retries(max_retries=1, initial_delay=0.01), max_containers=4)
    def work(x: int) -> int:
        if x < 0:
            raise ValueError(x)
        return x

    with record(app, path), app.run():
        work.remote(1)
        list(work.map(range(10)))
        work.spawn(2).get()
        with pytest.raises(ValueError, match="-1"):
            work.remote(-1)

    # The failing one was tried twice.
    assert 1 + 10 + 1 + 2 == len(read_recording(path).function().trace)


def test_an_input_that_was_cancelled_before_it_ran_is_left_out(path: Path) -> None:
    app = modal.App()
    entered, leave = threading.Event(), threading.Event()

    @app.function(max_containers=1)
    def work() -> None:
        entered.set()
        leave.wait(10)

    with record(app, path) as recording, app.run():
        first = work.spawn()
        assert entered.wait(10)
        work.spawn().cancel()
        leave.set()
        first.get()
        assert [{}] == [journal._arrivals for journal in recording._journals]
        assert repr(recording) == f"<Recording of app 'unnamed' to '{path}' pools=1 inputs=1>"

    recorded = read_recording(path)
    assert ("unnamed", 1) == (recorded.name, len(recorded.function("work").trace))


def test_batches_are_recorded_as_they_take_slots(run_virtually: Run, path: Path) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=4, wait_ms=100)
    async def work(xs: list[int]) -> list[int]:
        await sleep(1.0)
        return xs

    async def main() -> None:
        with record(app, path):
            async with app.run():
                assert list(range(6)) == [x async for x in work.map.aio(range(6))]

    run_virtually(main)
    trace = read_recording(path).function("work").trace

    assert [1.0, 1.0] == pytest.approx(trace.services, abs=1e-3)
    assert [0.0, 0.1] == pytest.approx([came - trace.arrivals[0] for came in trace.arrivals], abs=1e-2)


def test_a_policy_that_takes_events_and_a_recording_do_not_disturb_each_other(path: Path) -> None:
    seen: list[str] = []

    class Eventful(modal.WindowPolicy):
        def arrived(self, now: float, seconds: float) -> None:
            seen.append("arrived")

    app = modal.App(policy=Eventful)

    @app.function()
    def work() -> None:
        return None

    with record(app, path), app.run():
        list(work.map(range(0)))
        work.remote()

    assert ["arrived"] == seen[:1]
    assert 1 == len(read_recording(path).function("work").trace)


def test_pools_of_parameter_sets_are_told_apart_and_one_that_was_forgotten_goes_on(
    run_virtually: Run, path: Path
) -> None:
    app = modal.App()

    @app.cls(scaledown_window=1.0)
    class Model:
        size: int = modal.parameter()

        @modal.method()
        async def run(self, seconds: float) -> None:
            await sleep(seconds)

    model: Any = Model

    async def main() -> None:
        with record(app, path):
            async with app.run():
                await model(size=1).run.remote.aio(1.0)
                await model(size=2).run.remote.aio(2.0)
                await sleep(60.0)
                await model(size=1).run.remote.aio(3.0)

    run_virtually(main)
    functions = read_recording(path).functions

    assert ["Model", "Model #2"] == list(functions)
    assert [1.0, 3.0] == pytest.approx(functions["Model"].trace.services, abs=1e-3)
    assert 2 == functions["Model"].report.starts
    assert [2.0] == pytest.approx(functions["Model #2"].trace.services, abs=1e-3)


def test_a_redeployment_is_followed(path: Path) -> None:
    app = modal.App("recorded-redeployment")

    @app.function()
    def work() -> None:
        return None

    with record(app, path):
        app.deploy()
        work.remote()
        app.deploy()
        work.remote()
        app.stop()

    function = read_recording(path).function("work")
    assert (2, 2) == (len(function.trace), function.report.starts)
    assert function.trace.arrivals[0] < function.trace.arrivals[1]


def test_a_recording_of_nothing_says_so(path: Path) -> None:
    with record(modal.App("idle"), path):
        pass

    with pytest.raises(InvalidError, match="recording of app 'idle' is empty: the app did not run meanwhile"):
        read_recording(path).function()


def test_one_recording_at_a_time(path: Path, tmp_path: Path) -> None:
    app = modal.App("twice")

    with record(app, path):
        with pytest.raises(ConflictError, match="app 'twice' is being recorded already"):
            with record(app, tmp_path / "other.mp"):
                pass
    assert not (tmp_path / "other.mp").exists()


def test_a_file_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    app = modal.App()

    with pytest.raises(OSError, match="No such file"):
        with record(app, tmp_path / "nowhere" / "trace.mp"):
            pass
    assert [] == app._contents.observers


class FullDisk(io.BytesIO):
    """A file on a disk that is full after the header."""

    def write(self, data: Any, /) -> int:
        if self.tell():
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(data)


class FullInTheEnd(io.BytesIO):
    """A file whose last bytes find the disk full."""

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.parametrize("kind", [FullDisk, FullInTheEnd])
def test_a_disk_that_is_full_costs_the_recording_and_not_the_app(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.BytesIO]
) -> None:
    monkeypatch.setattr("builtins.open", lambda *_: kind())
    app = modal.App()

    @app.function()
    def work(x: int) -> int:
        return x

    recording = record(app, "trace.mp")
    recording.__enter__()
    with app.run():
        assert list(range(100)) == list(work.map(range(100)))
    with pytest.raises(OSError, match="no space left"):
        recording.__exit__(None, None, None)
    assert [] == app._contents.observers


def test_notes_go_to_the_file_by_the_thousand(path: Path) -> None:
    app = modal.App()

    @app.function(max_containers=2)
    def work(x: int) -> int:
        return x

    with record(app, path) as recording, app.run():
        assert 10_000 == sum(1 for _ in work.map(range(10_000)))
        assert len(recording._journals[0]._rows) < 4_096

    assert 10_000 == len(read_recording(path).function("work").trace)


# -- files -----------------------------------------------------------------------------------------

HEADER = {"format": "actorpool-trace", "version": 1, "app": "shop", "began": 0.0}
FUNCTION = ["function", 0, "work"]
ONE = array("d", [1.0]).tobytes()
INPUTS = ["inputs", 0, ONE, ONE, ONE, ONE]
CONTAINERS = ["containers", 0, ONE, ONE, ONE, array("d", [9.0]).tobytes()]
END = ["end", 10.0, {0: 1}]


def written(path: Path, *items: object) -> Path:
    path.write_bytes(b"".join(msgpack.packb(item) for item in items))
    return path


def test_a_file_is_what_its_description_says(path: Path) -> None:
    settings = ["settings", 0, {"max_containers": 7, "max_inputs": 2, "startup_s": 0.5}]

    recorded = read_recording(written(path, HEADER, FUNCTION, settings, INPUTS, CONTAINERS, END))

    work = recorded.function()
    assert ("shop", 10.0, ["work"]) == (recorded.name, recorded.duration_s, list(recorded.functions))
    assert ([1.0], [1.0], [0.0]) == (
        work.trace.arrivals.tolist(),
        work.trace.services.tolist(),
        work.trace.startups.tolist(),
    )
    assert (7, 2) == (work.trace.settings.max_containers, work.trace.concurrency.max_inputs)
    assert (8.0, 1.0) == (work.report.container_seconds, work.report.wait_mean_s)
    with pytest.raises(InvalidError, match="recording of app 'shop' has no function 'play'; it has: work"):
        recorded.function("play")


def test_where_no_start_was_recorded_the_pools_estimate_is_used(path: Path) -> None:
    settings = ["settings", 0, {"startup_s": 0.5}]
    before = ["containers", 0, ONE, array("d", [-9.0]).tobytes(), array("d", [-9.0]).tobytes(), ONE]

    trace = (
        read_recording(written(path, HEADER, FUNCTION, settings, before, ["end", 1.0, {0: 0}]))
        .function()
        .trace
    )

    assert [0.5] == trace.startups.tolist()


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "it does not begin like one"),
        ([17], "it does not begin like one"),
        ([{"format": "other"}], "it does not begin like one"),
        ([{**HEADER, "version": 2}], "its version is 2, and this actorpool reads version 1"),
        ([{**HEADER, "app": 3}], "its header is damaged"),
        ([HEADER], "its end is missing, perhaps the program was killed"),
        ([HEADER, FUNCTION, INPUTS], "its end is missing"),
        ([HEADER, "inputs"], "it holds something else"),
        ([HEADER, []], "it holds something else"),
        ([HEADER, ["colour", 1]], "a 'colour' record of it is not of version 1"),
        ([HEADER, INPUTS], "one of its 'inputs' records is damaged"),
        ([HEADER, FUNCTION, INPUTS[:-1]], "its columns are of different lengths"),
        ([HEADER, FUNCTION, [*INPUTS[:-1], b""]], "its columns are of different lengths"),
        ([HEADER, FUNCTION, [*INPUTS[:-1], b"123"]], "a column of it is not one of 64-bit floats"),
        ([HEADER, FUNCTION, END], "it holds another number of inputs than its end says"),
        ([HEADER, ["end", float("nan"), {}]], "it holds another number of inputs than its end says"),
        ([HEADER, FUNCTION, INPUTS, END, END], "something follows its end"),
        ([HEADER, FUNCTION, INPUTS, END], "lacks container 1"),
        ([HEADER, FUNCTION, ["settings", 0, {"colour": 1}], ["end", 1.0, {0: 0}]], "are damaged"),
        ([HEADER, FUNCTION, ["settings", 0, {"max_containers": -1}], ["end", 1.0, {0: 0}]], "are damaged"),
    ],
)
def test_a_file_that_is_no_whole_recording_is_refused(path: Path, items: list[Any], why: str) -> None:
    with pytest.raises(TraceError, match=why) as caught:
        read_recording(written(path, *items))
    assert str(path) == caught.value.path


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = written(path, HEADER, FUNCTION, INPUTS, CONTAINERS, END).read_bytes()
    assert 1 == len(read_recording(path).function().trace)

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceError):
            read_recording(path)


def test_any_other_file_is_refused(path: Path) -> None:
    for data in (
        b"\xc1",
        b"\x89PNG\r\n",
        b"import actorpool\n",
        b"\xa3\xff\xff\xff",
        b"\x81\x93\x01\x02\x03\x04",
    ):
        path.write_bytes(data)
        with pytest.raises(TraceError, match="is no whole recording of actorpool"):
            read_recording(path)


def test_what_was_recorded_can_be_simulated_with_other_settings(path: Path) -> None:
    app = modal.App()

    @app.function()
    def work(x: int) -> int:
        return x

    with record(app, path), app.run():
        list(work.map(range(50)))

    trace = read_recording(path).function("work").trace
    assert 1 == simulate(trace, modal.AutoscalerSettings(max_containers=1)).peak_containers
