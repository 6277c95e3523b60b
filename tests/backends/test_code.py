# SPDX-License-Identifier: Apache-2.0
"""How the user's code gets into another process: by import path or by value, and what is refused."""

from __future__ import annotations

import contextvars
import importlib.util
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import actorpool as modal
from actorpool._backends._code import modules_of, pack_workload, unpack_workload
from actorpool._backends._places import is_importable
from actorpool._backends._variables import pack_context, unpack_context
from actorpool._backends._workload import Workload
from actorpool.exception import InvalidError
from tests.backends import process_code
from tests.backends.processes import Template, Worker, workload_for, workload_of

CODE = "tests.backends.process_code"
# To mypy a class of another module takes no parameters.
COUNTER: Any = process_code.Counter

# A script as users start it: what it defines is in `__main__`, which no other process may run again.
SCRIPT = """
import contextvars, sys
import actorpool as modal
from tests.backends.processes import Template, workload_of, workload_for
from actorpool._backends._code import modules_of
from actorpool._backends._variables import pack_context

print("main runs")
app = modal.App("script")
colour = contextvars.ContextVar("colour", default="none")
FACTOR = 3

class Point:
    def __init__(self, x):
        self.x = x

@app.function()
def helper(x):
    return x * FACTOR

@app.function()
def work(point):
    return Point(helper.local(point.x)), colour.get(), __name__

@app.cls()
class Adder:
    n: int = modal.parameter()

    @modal.enter()
    def begin(self):
        self.total = self.n

    @modal.method()
    def add(self, k):
        self.total += k
        return self.total

    @modal.method()
    def twice(self, k):
        self.add.local(k)
        return self.add.local(k)

assert __name__ == "__main__"
if True:
    colour.set("red")
    with Template() as template:
        with template.fork() as worker:
            worker.ready(workload_of(work))
            context = pack_context(contextvars.copy_context())
            point, seen, name = worker.call(Point(2), context=context)
            assert type(point) is Point, type(point)
            print(point.x, seen, name)
        with template.fork() as worker:
            workload = workload_of(Adder(n=10))
            names = [target.name for target in workload.targets]
            worker.ready(workload)
            print(worker.call(1, target=names.index("Adder.twice")))
"""


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template() as template:
        yield template


@pytest.fixture
def worker(template: Template) -> Iterator[Worker]:
    with template.fork() as worker:
        yield worker
    template.status_of(worker.pid)


def again(workload: Workload) -> Workload:
    """Return the workload as another process would make it, in this one."""
    return unpack_workload(pack_workload(workload))


@pytest.mark.parametrize("function", ["double", "wrapped", "renamed", "counts_up", "triple"])
def test_a_function_behind_its_handle_is_the_very_function(function: str) -> None:
    workload = workload_of(getattr(process_code, function))
    (target,) = again(workload).targets
    (original,) = workload.targets
    assert target.function is original.function
    assert (original.name, original.is_async, original.is_generator) == (
        target.name,
        target.is_async,
        target.is_generator,
    )


def test_what_can_be_imported_is_not_sent_by_value() -> None:
    for workload in (workload_of(process_code.double), workload_of(process_code.Counter())):
        assert (CODE,) == modules_of(workload)
        assert len(pack_workload(workload)) < 2_000


def test_a_class_behind_its_handle_is_the_very_class_with_its_methods_and_hooks() -> None:
    workload = workload_of(COUNTER(start=3))
    other = again(workload)
    assert [target.function for target in workload.targets] == [target.function for target in other.targets]
    assert workload.enter == other.enter
    assert workload.exit == other.exit
    assert other.build is not None
    made = other.build()
    assert type(made) is process_code.Counter.definition.user_cls  # type: ignore[attr-defined]
    assert 3 == made.start
    assert (workload.name, workload.max_inputs, workload.bound) == (other.name, other.max_inputs, other.bound)


def test_nested_functions_and_lambdas_go_by_value(worker: Worker) -> None:
    offset = 5

    def add(x: int) -> int:
        return x + offset

    assert () == modules_of(workload_for(add))
    worker.ready(workload_for(add))
    assert 7 == worker.call(2)


def test_a_function_by_value_finds_the_modules_and_handles_it_refers_to(worker: Worker) -> None:
    def work(x: int) -> Any:
        return process_code.double.local(x), process_code.Counter

    assert (CODE,) == modules_of(workload_for(work))
    worker.ready(workload_for(lambda x: work(x)[0]))
    assert 4 == worker.call(2)


def test_a_script_is_never_run_again_and_its_functions_and_classes_work(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    assert ("", ["main runs", "6 red __main__", "12"]) == (done.stderr, done.stdout.splitlines())


def _loaded_by_path(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_that_was_loaded_by_path_goes_by_value(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text(
        "import actorpool as modal\napp = modal.App('job')\nclass P:\n    def __init__(self, x): self.x = x\n"
        "def helper(x): return P(x + 1)\n@app.function()\ndef work(x): return helper(x).x\n"
    )
    module = _loaded_by_path(path, "job of nobody")
    try:
        assert not is_importable("job of nobody")
        workload = workload_of(module.work)
        assert () == modules_of(workload)
        worker.ready(workload)
        assert 3 == worker.call(2)
    finally:
        del sys.modules["job of nobody"]


def test_a_file_beside_the_program_is_found_by_its_name(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job_beside.py"
    path.write_text(
        "import actorpool as modal\napp = modal.App('job')\n@app.function()\ndef work(x): return x + 1\n"
    )
    module = _loaded_by_path(path, "job_beside")
    try:
        assert not is_importable("job_beside")
        monkeypatch.syspath_prepend(tmp_path)
        assert is_importable("job_beside")
        assert ("job_beside",) == modules_of(workload_of(module.work))
    finally:
        del sys.modules["job_beside"]


@pytest.mark.parametrize("name", ["json", "os.path", "collections.abc", "attrs", "builtins", CODE, "tests"])
def test_modules_of_the_installation_are_importable(name: str) -> None:
    assert is_importable(name)


@pytest.mark.parametrize("name", ["__main__", "no_such_module"])
def test_others_are_not(name: str) -> None:
    assert not is_importable(name)


def test_a_module_of_another_file_than_the_name_leads_to_is_not_importable(tmp_path: Path) -> None:
    (tmp_path / "attrs.py").write_text("")
    module = _loaded_by_path(tmp_path / "attrs.py", "attrs_of_mine")
    try:
        assert module.__spec__ is not None
        assert not is_importable("attrs_of_mine")
    finally:
        del sys.modules["attrs_of_mine"]


def test_what_cannot_be_sent_is_named() -> None:
    lock = threading.Lock()

    def guarded() -> bool:
        return lock.locked()

    with pytest.raises(
        InvalidError, match="'guarded' cannot run in a process of its own: 'lock', which its code"
    ):
        pack_workload(workload_for(guarded))


class _Hostile:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError


def test_an_object_that_raises_when_it_is_pickled_is_named_too() -> None:
    hostile = _Hostile()
    with pytest.raises(InvalidError, match="'hostile', which its code refers to, cannot be sent there"):
        pack_workload(workload_for(lambda: hostile))


def test_without_cloudpickle_what_can_be_imported_is_sent_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    workload = workload_of(process_code.double, max_inputs=7)
    assert workload.targets[0].function is again(workload).targets[0].function
    with pytest.raises(InvalidError, match="pip install 'actorpool\\[process\\]'"):
        pack_workload(workload_for(lambda: None))


# -- handles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app", "double", "renamed", "Counter"])
@pytest.mark.parametrize("dumps", [pickle.dumps])
def test_a_handle_that_can_be_imported_is_itself_again(name: str, dumps: Callable[..., bytes]) -> None:
    handle = getattr(process_code, name)
    found = pickle.loads(dumps(handle))
    if name == "renamed":
        # Its variable is not called as the function: another handle, to the same.
        assert ("other", handle.get_raw_f()) == (found.name, found.get_raw_f())
    else:
        assert found is handle


def test_an_instance_and_its_methods_are_handles_to_the_same_pool_again() -> None:
    instance = COUNTER(start=4)
    found = pickle.loads(pickle.dumps(instance))
    assert repr(instance) == repr(found)
    method = pickle.loads(pickle.dumps(instance.add))
    assert "Counter.add" == method.name


def test_a_variant_is_looked_up_with_its_variation() -> None:
    app = modal.App("variants")

    @app.function()
    def f() -> str | None:
        return modal.current_container_id()

    variant = f.with_options(max_containers=3)
    with pytest.raises(Exception, match="local object"):
        pickle.dumps(variant)
    found = pickle.loads(pickle.dumps(process_code.double.with_options(max_containers=3)))
    process_code.app.deploy()
    try:
        assert 8 == found.remote(4)
        assert 3 == found.autoscaler.settings().max_containers
        looked_up = pickle.loads(pickle.dumps(modal.Function.from_name("process-code", "double")))
        assert 6 == looked_up.remote(3)
        cls = pickle.loads(pickle.dumps(modal.Cls.from_name("process-code", "Counter")))
        assert 9 == cls(start=4).add.remote(5)
    finally:
        process_code.app.stop()


def test_an_app_that_no_module_names_is_an_empty_one_of_its_name() -> None:
    found = pickle.loads(pickle.dumps(modal.App("nowhere")))
    assert ("nowhere", {}) == (found.name, found.registered_functions)


# -- context variables -----------------------------------------------------------------------------

local_to_tests: contextvars.ContextVar[Any] = contextvars.ContextVar("local_to_tests")


def test_variables_that_a_module_names_travel_and_others_stay() -> None:
    nameless: contextvars.ContextVar[int] = contextvars.ContextVar("nameless")

    def within() -> Any:
        nameless.set(1)
        local_to_tests.set({"a": (1, 2)})
        process_code.colour.set("blue")
        return pack_context(copy_context())

    payload = contextvars.Context().run(within)
    context = unpack_context(payload)
    assert {local_to_tests: {"a": (1, 2)}, process_code.colour: "blue"} == dict(context.items())


def test_a_value_that_cannot_be_sent_stays_behind_alone() -> None:
    def within() -> Any:
        local_to_tests.set(threading.Lock())
        process_code.colour.set("blue")
        return pack_context(copy_context())

    assert {process_code.colour: "blue"} == dict(unpack_context(contextvars.Context().run(within)).items())


def test_a_context_without_anything_to_say_says_nothing() -> None:
    assert pack_context(contextvars.Context()) is None
    assert {} == dict(unpack_context(None).items())


def test_variables_of_one_name_are_not_taken_for_each_other(worker: Worker) -> None:
    variables = [contextvars.ContextVar[int]("same") for _ in range(3)]

    def within() -> Any:
        for number, variable in enumerate(variables):
            variable.set(number)
        return pack_context(copy_context())

    # Looked for, and found to have no name, before the code is packed.
    assert contextvars.Context().run(within) is None
    worker.ready(workload_for(lambda: [variable.get() for variable in variables]))
    assert [0, 1, 2] == worker.call(context=contextvars.Context().run(within))


def test_a_variable_of_the_code_and_of_the_context_is_the_same_one(worker: Worker) -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="default")

    def look() -> str:
        return mine.get()

    worker.ready(workload_for(look))
    assert "default" == worker.call()

    def within() -> Any:
        mine.set("given")
        return pack_context(copy_context())

    assert "given" == worker.call(context=contextvars.Context().run(within))
    assert "default" == worker.call()
