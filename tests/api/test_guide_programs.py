# SPDX-License-Identifier: Apache-2.0
"""The programs of the scaling guide, as its readers have them, with `import actorpool as modal` for a first line.

Each is a text that is run by `actorpool run` if it has a local entrypoint, else by `python`; three of them in a
process of their own, the others, since a process costs a second, in this one. What a program prints is what
the guide says of it.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actorpool.cli import main
from tests.docs.programs import run_program

Printed = Callable[[str], list[str]]

HEAD = """\
import actorpool as modal

app = modal.App("my-app")
"""


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """`printed(program)` runs a program in this process and returns the lines that it prints."""

    def run(program: str) -> list[str]:
        path = tmp_path / "program_of_the_guide.py"
        path.write_text(HEAD + program, "utf-8")
        if ".local_entrypoint(" in program:
            assert 0 == main(["run", str(path)])
        else:
            runpy.run_path(str(path), run_name="__main__")["app"].stop()
        sys.modules.pop(path.stem, None)
        return capsys.readouterr().out.splitlines()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return run


@pytest.fixture
def printed_apart(tmp_path: Path) -> Printed:
    """`printed_apart(program)` runs a program in a process of its own."""
    return lambda program: run_program(HEAD + program, tmp_path).splitlines()


@pytest.mark.slow
def test_S06_the_map_of_the_guide(printed_apart: Printed) -> None:
    program = """
@app.function()
def evaluate_model(x):
    return x ** 2


@app.local_entrypoint()
def main():
    inputs = list(range(100))
    for result in evaluate_model.map(inputs):
        print(result)
"""
    assert [str(x**2) for x in range(100)] == printed_apart(program)


def test_S06_the_program_of_the_specification(printed: Printed) -> None:
    program = """
@app.function()
def evaluate_model(x):
    return x ** 2

@app.local_entrypoint()
def main():
    for result in evaluate_model.map(list(range(100))):
        print(result)
"""
    assert [str(x**2) for x in range(100)] == printed(program)


def test_S07_the_starmap_of_the_guide(printed: Printed) -> None:
    program = """
@app.function()
def add(a, b):
    return a + b


@app.local_entrypoint()
def main():
    assert list(add.starmap([(1, 2), (3, 4)])) == [3, 7]
    print("done")
"""
    assert ["done"] == printed(program)


def test_S08_the_exceptions_of_the_guide(printed: Printed) -> None:
    program = """
@app.function()
def may_fail(a):
    if a == 2:
        raise Exception("error")
    return a


@app.local_entrypoint()
def main():
    results = may_fail.map(range(3), return_exceptions=True, wrap_returned_exceptions=False)
    print(list(results))
    print(list(may_fail.map([0, 1])))
    try:
        list(may_fail.map(range(3)))
    except Exception as error:
        print("raised", repr(error))
"""
    assert ["[0, 1, Exception('error')]", "[0, 1]", "raised Exception('error')"] == printed(program)


def test_S09_generators_as_inputs_of_the_guide(printed: Printed) -> None:
    program = """
import itertools


@app.function()
def square(x):
    return x * x


@app.local_entrypoint()
def main():
    print(sum(square.map(x for x in range(10))))
    print(list(itertools.islice(square.map(itertools.count()), 5)))
"""
    assert ["285", "[0, 1, 4, 9, 16]"] == printed(program)


@pytest.mark.local_only("processes are bounded by default")
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("max_containers=100", "0 100 0 60.0"),
        ("min_containers=2", "2 None 0 60.0"),
        ("buffer_containers=5", "0 None 5 60.0"),
        ("scaledown_window=60", "0 None 0 60"),
    ],
)
def test_S10_S11_S12_S13_the_settings_of_the_guide(printed: Printed, settings: str, expected: str) -> None:
    program = f"""
@app.function({settings})
def f(x):
    return x


@app.local_entrypoint()
def main():
    assert list(f.map(range(10))) == list(range(10))
    s = f.statistics().settings
    print(s.min_containers, s.max_containers, s.buffer_containers, s.scaledown_window)
"""
    assert [expected] == printed(program)


@pytest.mark.slow
def test_S15_S16_S17_the_dynamic_update_of_the_guide(printed_apart: Printed) -> None:
    program = """
@app.function(min_containers=1)
def f(x):
    return x


def show(f):
    s = f.statistics().settings
    print(s.min_containers, s.max_containers)


app.deploy()

f = modal.Function.from_name("my-app", "f")
f.update_autoscaler(max_containers=100)
show(f)

f.update_autoscaler(min_containers=2, max_containers=10)
f.update_autoscaler(min_containers=4)  # max_containers=10 will still be in effect
show(f)

app.deploy()
show(f)
print(f.remote(7))
"""
    assert ["1 100", "4 10", "1 None", "7"] == printed_apart(program)


def test_S18_the_schedules_of_the_guide(printed: Printed) -> None:
    program = """
@app.function()
def inference_server(x):
    return x


@app.function(schedule=modal.Cron("0 6 * * *", timezone="America/New_York"))
def increase_warm_pool():
    inference_server.update_autoscaler(min_containers=4)


@app.function(schedule=modal.Cron("0 22 * * *", timezone="America/New_York"))
def decrease_warm_pool():
    inference_server.update_autoscaler(min_containers=0)


@app.local_entrypoint()
def main():
    increase_warm_pool.remote()
    print(inference_server.statistics().settings.min_containers)
    decrease_warm_pool.remote()
    print(inference_server.statistics().settings.min_containers)
"""
    assert ["4", "0"] == printed(program)


def test_S19_the_class_of_the_guide(printed: Printed) -> None:
    program = """
@app.cls()
class MyClass:
    model_version: str = modal.parameter()

    @modal.enter()
    def load(self):
        self.model = f"model {self.model_version}"

    @modal.method()
    def predict(self, x):
        return f"{self.model}: {x}"


app.deploy()

MyClass = modal.Cls.from_name("my-app", "MyClass")
obj = MyClass(model_version="3.5")
obj.update_autoscaler(buffer_containers=2)  # type: ignore
print(obj.predict.statistics().settings.buffer_containers)
print(MyClass(model_version="4.0").predict.statistics().settings.buffer_containers)
print(obj.predict.remote(1))
"""
    assert ["2", "0", "model 3.5: 1"] == printed(program)


def test_S20_S21_the_synchronous_concurrency_of_the_guide(printed: Printed) -> None:
    program = """
import threading


@app.function()
@modal.concurrent(max_inputs=100)
def my_function(x):
    together.wait(30)
    return threading.get_ident()


together = threading.Barrier(100)


@app.local_entrypoint()
def main():
    print(len(set(my_function.map(range(100)))), my_function.statistics().starts)
"""
    assert ["100 1"] == printed(program)


@pytest.mark.local_only("its inputs share an object, as in one process they may")
def test_S22_S23_the_asynchronous_concurrency_of_the_guide(printed: Printed) -> None:
    program = """
import asyncio


@app.function(max_containers=1)
@modal.concurrent(max_inputs=120, target_inputs=100)
async def my_function(x):
    tasks.add(asyncio.current_task())
    while len(tasks) < 120:
        await asyncio.sleep(0.001)
    return x


tasks = set()


@app.local_entrypoint()
def main():
    assert list(my_function.map(range(120))) == list(range(120))
    print(len(tasks), my_function.statistics().starts)
"""
    assert ["120 1"] == printed(program)


@pytest.mark.local_only("takes too long where each input is a message")
def test_S24_S27_a_limit_is_met_by_the_error_of_the_guide(printed: Printed) -> None:
    program = """
import asyncio


@app.function(max_containers=1)
async def f(gate, x):
    await gate.wait()
    return x


async def main():
    async with app.run():
        gate = asyncio.Event()
        tasks = [asyncio.ensure_future(f.remote.aio(gate, 0))]
        while not f.statistics().running:
            await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(f.remote.aio(gate, x)) for x in range(1, 2001)]
        await asyncio.sleep(0)
        try:
            await f.remote.aio(gate, 2001)
        except modal.exception.ResourceExhaustedError as error:
            print(str(error).split(":")[0], error.limit)
        gate.set()
        print(sum(await asyncio.gather(*tasks)))


asyncio.run(main())
"""
    assert ["Resource Exhausted 2000", str(sum(range(2001)))] == printed(program)


@pytest.mark.slow
def test_S30_the_asynchronous_program_of_the_guide(printed_apart: Printed) -> None:
    program = """
import asyncio


@app.function()
async def async_task(x):
    await asyncio.sleep(0.01)
    return x * 2


@app.local_entrypoint()
async def main():
    tasks = [async_task.remote.aio(i) for i in range(100)]
    results = await asyncio.gather(*tasks)
    print(results == [i * 2 for i in range(100)])
"""
    assert ["True"] == printed_apart(program)


def test_S29_the_asynchronous_map_of_the_guide(printed: Printed) -> None:
    program = """
@app.function()
async def my_func(x):
    return x + 1


async def numbers():
    for x in range(3):
        yield x


@app.local_entrypoint()
async def main():
    print(await my_func.remote.aio(1))
    async for result in my_func.map.aio(numbers()):
        print(result)
    call = await my_func.spawn.aio(10)
    print(await call.get.aio())
"""
    assert ["2", "1", "2", "3", "11"] == printed(program)


@pytest.mark.parametrize(
    ("statement", "line", "instead"),
    [
        ("S31", "list(map(evaluate_model, inputs))", "evaluate_model.map(inputs)"),
        ("S32", "evaluate_model(inputs).map()", "evaluate_model.map(inputs)"),
    ],
)
def test_S31_S32_the_pitfalls_of_the_guide(printed: Printed, statement: str, line: str, instead: str) -> None:
    program = f"""
@app.function()
def evaluate_model(x):
    return x ** 2


@app.local_entrypoint()
def main():
    inputs = [1, 2, 3]
    try:
        {line}
    except modal.exception.InvalidError as error:
        print(error)
"""
    (message,) = printed(program)
    assert f"write {instead}" in message or instead in message, statement


def test_S33_the_pitfall_of_a_blocked_loop(printed: Printed) -> None:
    program = """
@app.function()
async def inner(x):
    return x + 1


@app.function()
async def outer(x):
    return inner.remote(x)


@app.local_entrypoint()
def main():
    try:
        outer.remote(1)
    except modal.exception.InvalidError as error:
        print(error)
"""
    (message,) = printed(program)
    assert "write `await inner.remote.aio(...)` here" in message
