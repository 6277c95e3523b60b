# SPDX-License-Identifier: Apache-2.0
"""The process of a container: what it answers to each message, whatever the user's code does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from actorpool._backends._variables import pack_context
from actorpool._core._input import CANCELLED, FAILED, SUCCEEDED
from actorpool._wire._codec import decode, encode
from actorpool._wire._errors import decode_error, encode_error
from actorpool._wire._messages import (
    VERSION,
    Answer,
    Ask,
    Cancel,
    CloseStream,
    Credit,
    Ended,
    Item,
    Output,
    Record,
    Run,
    Start,
    StartFailed,
    Stop,
    Stopped,
)
from actorpool.exception import ExecutionError, NotFoundError, RemoteError
from tests.backends import process_code
from tests.backends.processes import CALL_ID, Template, Worker, workload_of

CODE = "tests.backends.process_code"
# To mypy a class of another module takes no parameters.
COUNTER: Any = process_code.Counter


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template(CODE, env={"PYTHONWARNINGS": "error"}) as template:
        template.preloaded()
        yield template


@pytest.fixture
def worker(template: Template) -> Iterator[Worker]:
    with template.fork() as worker:
        yield worker
    template.status_of(worker.pid)


# -- life ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "result"), [(process_code.double, 10), (process_code.triple, 15)])
def test_an_input_runs_and_its_result_comes_back(worker: Worker, function: Any, result: int) -> None:
    worker.ready(workload_of(function))
    assert [result] * 3 == [worker.call(5) for _ in range(3)]


def test_keyword_arguments_arrive_as_such(worker: Worker) -> None:
    assert 6 == worker.ready(workload_of(process_code.double)).call(x=3)


def test_after_stop_it_says_so_and_exits_with_zero(template: Template) -> None:
    with template.fork() as worker:
        worker.ready(workload_of(process_code.double)).stop()
        worker.hear_end()
    assert 0 == template.status_of(worker.pid)


def test_an_object_is_entered_used_by_all_methods_and_exited(worker: Worker) -> None:
    workload = workload_of(COUNTER(start=5))
    names = [target.name for target in workload.targets]
    add, add_async = names.index("Counter.add"), names.index("Counter.add_async")
    worker.ready(workload)
    assert ["enter 1", "enter 2 5"] == worker.lines
    assert 6 == worker.call(1, target=add)
    assert 8 == worker.call(2, target=add_async)
    worker.stop()
    assert "exit 8" == worker.lines[-1]


def test_a_failing_enter_hook_is_told_as_it_was_raised(template: Template) -> None:
    with template.fork() as worker:
        worker.start(workload_of(process_code.NeverReady()))
        error = decode_error(worker.wait(StartFailed).error)
        assert (LookupError, ("no model",)) == (type(error), error.args)
        worker.hear_end()
    assert 0 == template.status_of(worker.pid)


def test_code_that_cannot_be_loaded_is_a_failed_start(worker: Worker) -> None:
    worker.post(Start(VERSION, "f/1", encode(b"nonsense"), 1, 1.0, None, encode((b"key", 1)), encode({})))
    assert isinstance(decode_error(worker.wait(StartFailed).error), Exception)


def test_a_container_that_is_stopped_while_it_starts_ends(template: Template) -> None:
    with template.fork() as worker:
        worker.start(workload_of(process_code.SlowStart()))
        worker.wait_for_line("starting")
        worker.stop()
    assert 0 == template.status_of(worker.pid)


@pytest.mark.parametrize("name", ["sleeps_async", "spins"])
def test_what_runs_when_it_is_stopped_is_cancelled_and_answered_first(worker: Worker, name: str) -> None:
    worker.ready(workload_of(getattr(process_code, name)))
    number = worker.run()
    worker.wait(Output)
    worker.post(Stop(5.0))
    ended = worker.wait(Ended)
    assert (number, CANCELLED) == (ended.number, ended.state)
    worker.wait(Stopped)


@pytest.mark.parametrize("name", ["spins_deaf", "print_storm", "sleeps_async"])
def test_when_its_socket_ends_it_ends_whatever_runs(template: Template, name: str) -> None:
    with template.fork() as worker:
        worker.ready(workload_of(getattr(process_code, name)))
        worker.run()
        worker.wait(Output)
    # Where coverage is measured, its last step runs beside the user's threads and may crash.
    allowed = {0, -signal.SIGSEGV} if "COVERAGE_PROCESS_START" in os.environ else {0}
    assert template.status_of(worker.pid) in allowed


# -- outcomes --------------------------------------------------------------------------------------


def test_an_exception_arrives_by_type_with_its_arguments(worker: Worker) -> None:
    worker.ready(workload_of(process_code.fails))
    with pytest.raises(ValueError, match="wrong") as caught:
        worker.call(7)
    assert ("wrong", 7) == caught.value.args


def test_a_result_that_cannot_be_sent_fails_its_input_alone(worker: Worker) -> None:
    worker.ready(workload_of(process_code.returns_lock))
    for _ in range(2):
        with pytest.raises(ExecutionError, match="the result of 'returns_lock' cannot be sent to its caller"):
            worker.call()


def test_arguments_that_cannot_be_read_fail_their_input_alone(worker: Worker) -> None:
    worker.ready(workload_of(process_code.double))
    worker.post(Run(99, 0, encode("no arguments"), None, CALL_ID, 0, 1, None))
    ended = worker.wait(Ended)
    assert (99, FAILED) == (ended.number, ended.state)
    assert 4 == worker.call(2)


def test_big_arguments_and_results_come_back_whole(worker: Worker) -> None:
    worker.ready(workload_of(process_code.double))
    data = os.urandom(3 << 20)
    assert data + data == worker.call(data)


def test_a_function_that_is_wrapped_runs_with_its_wrapper(worker: Worker) -> None:
    assert ("logged", 3) == worker.ready(workload_of(process_code.wrapped)).call(3)


def test_local_calls_work_in_it(worker: Worker) -> None:
    worker.ready(workload_of(process_code.calls_local))
    assert 7 == worker.call(3)


def test_a_call_of_another_function_asks_for_its_pool_and_fails_as_the_answer_says(worker: Worker) -> None:
    worker.ready(workload_of(process_code.calls_remote))
    worker.run(3)
    asked = worker.wait(Ask)
    assert "bind" == asked.question
    make, arguments = decode(asked.value)
    assert "double" == make(*arguments).name
    worker.post(Answer(asked.number, FAILED, encode_error(NotFoundError("there is none"))))
    ended = worker.wait(Ended)
    assert FAILED == ended.state
    assert "there is none" == str(decode_error(ended.value))


def test_inputs_of_several_slots_run_at_the_same_time(worker: Worker, tmp_path: Any) -> None:
    worker.ready(workload_of(process_code.waits_for, max_inputs=3))
    numbers = {worker.run(str(tmp_path / "go")) for _ in range(3)}
    until_waiting = 0
    while until_waiting < 3:
        worker.wait(Output)
        until_waiting = worker.lines.count("waiting")
    (tmp_path / "go").touch()
    assert numbers == {worker.wait(Ended).number for _ in range(3)}


# -- what code sees --------------------------------------------------------------------------------


def test_code_sees_its_own_place_and_nothing_of_the_parents(template: Template) -> None:
    seen = []
    process_code.colour.set("red")
    context = pack_context(copy_context())
    for _ in range(2):
        with template.fork() as worker:
            worker.ready(workload_of(process_code.about_itself), name="about/4")
            seen.append(worker.call(context=context))
    one, other = (dict(found) for found in seen)
    assert one.pop("random") != other.pop("random")
    assert one == other
    assert {
        "argv": ["program", "--option"],
        "blocked": 0,
        "call": CALL_ID,
        "colour": "red",
        "container": "about/4",
        "input": f"in-{CALL_ID[3:]}-7",
        "local": False,
        "sigint": True,
        "sigterm": True,
        "stdin": "",
        "threads": 2,
    } == one


def test_an_input_without_context_sees_the_defaults(worker: Worker) -> None:
    worker.ready(workload_of(process_code.about_itself))
    assert ["none", "none"] == [worker.call()["colour"] for _ in range(2)]


# -- output ----------------------------------------------------------------------------------------


def test_lines_arrive_whole_however_they_are_written(worker: Worker) -> None:
    worker.ready(workload_of(process_code.prints))
    worker.call(["a", "b", "c\nd", "", "e\n\nf"], ["", "\n", "", "\n", "\n"])
    assert ["ab", "c", "d", "e", "", "f"][:2] == worker.lines[:2]
    assert ["ab", "c", "d", "e", "", "f"] == worker.lines


def test_lines_of_many_threads_do_not_mix(worker: Worker) -> None:
    worker.ready(workload_of(process_code.prints_in_threads))
    worker.call(4, 200)
    expected = {f"thread {thread} line {line}" for thread in range(4) for line in range(200)}
    assert expected == set(worker.lines)
    assert 800 == len(worker.lines)


def test_bytes_and_the_standard_error_are_lines_too_and_so_is_what_an_input_leaves_unfinished(
    worker: Worker,
) -> None:
    worker.ready(workload_of(process_code.prints_elsewhere))
    worker.run()
    heard = []
    while not isinstance(message := worker.hear(), Ended):
        heard.append(message)
    written = ["bytes \udcff", "a", "b", "c"]
    assert [Output(2, "to stderr"), *(Output(1, line) for line in written)] == heard


@pytest.mark.parametrize("name", ["prints_on_the_loop"])
def test_more_output_than_the_socket_holds_waits_and_comes_in_order(worker: Worker, name: str) -> None:
    worker.ready(workload_of(getattr(process_code, name)))
    worker.call(4_000)
    assert [str(line) for line in range(4_000)] == [line.split()[1] for line in worker.lines]


@pytest.mark.parametrize("function", [process_code.litters, process_code.litters_on_the_loop])
def test_destructors_that_print_amid_a_print_block_nothing(worker: Worker, function: Any) -> None:
    worker.ready(workload_of(function))
    worker.call(2_000)
    assert [str(number) for number in range(2_000)] == [line for line in worker.lines if line != "gone"]
    assert "gone" in worker.lines


def test_signal_handlers_that_print_amid_a_print_block_nothing(worker: Worker) -> None:
    worker.ready(workload_of(process_code.prints_among_signals))
    worker.call(3_000)
    assert [str(number) for number in range(3_000)] == [line for line in worker.lines if line != "tick"]
    assert "tick" in worker.lines


def test_records_arrive_with_their_text_and_without_what_cannot_be_sent(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    # The level is the parent's when the container starts.
    caplog.set_level("INFO", "user.code")
    worker.ready(workload_of(process_code.logs))
    worker.run()
    first, second = (decode(worker.wait(Record).fields) for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert ("user.code", "INFO", "shown 1", None) == (
        first["name"],
        first["levelname"],
        first["msg"],
        first["args"],
    )
    assert ("failed", "r-1", True) == (
        second["msg"],
        second["request"],
        "ValueError: in the log" in second["exc_text"],
    )
    assert "lock" not in second


# -- generators ------------------------------------------------------------------------------------

GENERATORS = [process_code.counts_up, process_code.counts_up_async]


@pytest.mark.parametrize("function", GENERATORS)
def test_items_come_in_order_and_then_the_end(worker: Worker, function: Any) -> None:
    worker.ready(workload_of(function))
    number = worker.run(50, credit=100)
    assert list(range(50)) == worker.items(50)
    assert worker.outcome(number) is None


@pytest.mark.parametrize("function", GENERATORS)
def test_no_more_items_than_credit_are_on_their_way(worker: Worker, function: Any) -> None:
    worker.ready(workload_of(function, max_inputs=2))
    number = worker.run(20, credit=4)
    assert [0, 1, 2, 3] == worker.items(4)
    # Another input that runs from its start to its end in the meantime.
    worker.outcome(worker.run(0, credit=1))
    assert worker.quiet()
    worker.post(Credit(number, 3))
    assert [4, 5, 6] == worker.items(3)
    worker.post(Credit(number, 100))
    assert list(range(7, 20)) == worker.items(13)
    assert worker.outcome(number) is None


@pytest.mark.parametrize("message", [CloseStream, Cancel])
@pytest.mark.parametrize("function", GENERATORS)
def test_a_stream_that_nobody_wants_closes_its_generator(worker: Worker, function: Any, message: Any) -> None:
    worker.ready(workload_of(function))
    number = worker.run(20, credit=2)
    worker.items(2)
    worker.post(message(number))
    ended = worker.wait(Ended)
    assert number == ended.number
    assert SUCCEEDED != ended.state
    assert "generator closed" in worker.lines


def test_an_item_that_cannot_be_sent_fails_the_generator_after_those_before(worker: Worker) -> None:
    worker.ready(workload_of(process_code.yields_lock))
    number = worker.run(credit=10)
    assert 1 == decode(worker.wait(Item).value)
    with pytest.raises(TypeError, match="lock"):
        worker.outcome(number)


# -- cancellation ----------------------------------------------------------------------------------


def test_an_asynchronous_input_is_cancelled(worker: Worker) -> None:
    worker.ready(workload_of(process_code.sleeps_async))
    number = worker.run()
    worker.wait(Output)
    worker.post(Cancel(number))
    ended = worker.wait(Ended)
    assert (number, CANCELLED) == (ended.number, ended.state)
    assert isinstance(decode_error(ended.value), RemoteError)


def test_a_synchronous_input_of_one_slot_gets_an_exception_and_no_other_input_does(worker: Worker) -> None:
    worker.ready(workload_of(process_code.spins))
    for _ in range(3):
        worker.lines.clear()
        number = worker.run()
        worker.wait_for_line("spinning")
        worker.post(Cancel(number))
        ended = worker.wait(Ended)
        assert (number, CANCELLED) == (ended.number, ended.state)
        assert ["spinning", "interrupted"] == worker.lines


def test_a_synchronous_input_among_others_is_left_alone(worker: Worker, tmp_path: Any) -> None:
    worker.ready(workload_of(process_code.waits_for, max_inputs=2))
    number = worker.run(str(tmp_path / "go"))
    worker.wait_for_line("waiting")
    worker.post(Cancel(number))
    (tmp_path / "go").touch()
    assert (number, SUCCEEDED) == ((ended := worker.wait(Ended)).number, ended.state)


def test_an_input_may_go_on_after_its_interruption(worker: Worker) -> None:
    worker.ready(workload_of(process_code.spins_deaf))
    number = worker.run()
    worker.wait_for_line("spinning")
    worker.post(Cancel(number))
    assert "went on" == worker.outcome(number)


def test_one_that_prints_all_the_time_is_interrupted_between_two_lines(template: Template) -> None:
    with template.fork() as worker:
        worker.ready(workload_of(process_code.print_storm))
        for _ in range(30):
            worker.lines.clear()
            number = worker.run()
            worker.wait_for_line("line 3")
            worker.post(Cancel(number))
            assert CANCELLED == worker.wait(Ended).state
            # One `print` is several writes, and the last may be interrupted between them.
            assert [f"line {number}" for number in range(len(worker.lines) - 1)] == worker.lines[:-1]
    template.status_of(worker.pid)


def test_what_is_unknown_or_over_is_not_cancelled_or_credited(worker: Worker) -> None:
    worker.ready(workload_of(process_code.double))
    number = worker.run(1)
    worker.wait(Ended)
    for unknown in (number, 1_000):
        worker.post(Cancel(unknown))
        worker.post(Credit(unknown, 5))
        worker.post(CloseStream(unknown))
    assert 4 == worker.call(2)


# -- without a template ----------------------------------------------------------------------------


def test_without_fork_a_fresh_interpreter_is_the_container() -> None:
    import socket
    import subprocess

    from actorpool._backends._process_worker import worker_command

    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(worker_command(theirs.fileno()), pass_fds=[theirs.fileno()])
    try:
        with Worker(ours, process.pid) as worker:
            worker.ready(workload_of(process_code.blocks_the_loop))
            worker.run()
            worker.wait_for_line("blocking")
        # The loop is blocked, and there is no template.
        assert 0 == process.wait(2)
    finally:
        process.kill()
        process.wait()
