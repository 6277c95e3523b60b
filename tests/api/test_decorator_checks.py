# SPDX-License-Identifier: Apache-2.0
"""What the decorators refuse to be put on, where it is written: each mistake, its error type, and its message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError


def plain() -> None:
    pass


class Plain:
    pass


# -- @app.function: what it is put on ------------------------------------------------------------------------


def test_M1_7_function_without_parentheses_is_refused_with_the_right_spelling(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"write @app\.function\(\)"):
        app.function(plain)


def test_M1_7_cls_without_parentheses_is_refused_with_the_right_spelling(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"write @app\.cls\(\)"):
        app.cls(Plain)


def test_M1_7_local_entrypoint_without_parentheses_is_refused_with_the_right_spelling(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"write @app\.local_entrypoint\(\)"):
        app.local_entrypoint(plain)


def test_M1_7_method_and_hooks_and_concurrent_without_parentheses_are_type_errors() -> None:
    decorators: list[Any] = [modal.method, modal.enter, modal.exit, modal.concurrent]
    for decorator in decorators:
        with pytest.raises(TypeError, match="positional argument"):
            decorator(plain)


def test_M1_8_function_on_a_class_points_to_cls(app: modal.App) -> None:
    with pytest.raises(TypeError, match=r"@app\.cls"):
        app.function()(Plain)


def test_M1_8_cls_on_a_function_points_to_function(app: modal.App) -> None:
    with pytest.raises(TypeError, match=r"@app\.function"):
        app.cls()(plain)  # type: ignore[arg-type]


def test_M1_9_function_on_a_method_points_to_cls_and_method(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"(?s)@app\.cls\(\).*@modal\.method\(\)"):

        class C:
            @app.function()
            def f(self) -> None:
                pass


def test_M1_9_function_on_a_marked_method_points_to_cls(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"@app\.cls\(\)"):

        class C:
            @app.function()  # type: ignore[call-overload]
            @modal.method()
            def f(self) -> None:
                pass


def test_function_on_something_that_cannot_be_called_is_a_type_error(app: modal.App) -> None:
    with pytest.raises(TypeError, match="not for 5"):
        app.function()(5)  # type: ignore[call-overload]


def test_function_twice_on_one_function_is_refused(app: modal.App) -> None:
    f = app.function()(plain)
    with pytest.raises(InvalidError, match="already"):
        app.function()(f)


def test_an_entrypoint_on_a_function_of_the_app_is_refused(app: modal.App) -> None:
    f = app.function()(plain)
    with pytest.raises(InvalidError, match="plain function"):
        app.local_entrypoint()(f)


def test_two_entrypoints_of_one_name_are_refused(app: modal.App) -> None:
    app.local_entrypoint()(plain)
    with pytest.raises(InvalidError, match="'plain' already"):
        app.local_entrypoint()(plain)
    app.local_entrypoint(name="other")(plain)


def test_M1_10_a_function_need_not_be_at_module_level(app: modal.App) -> None:
    offset = 5

    @app.function()
    def inner(x: int) -> int:
        return x + offset

    assert 6 == inner.local(1)
    with app.run():
        assert 6 == inner.remote(1)


def test_M1_10_a_callable_object_and_a_lambda_may_be_functions(app: modal.App) -> None:
    class Doubler:
        def __call__(self, x: int) -> int:
            return 2 * x

    doubled = app.function()(Doubler())
    added = app.function(name="added")(lambda x: x + 1)
    with app.run():
        assert (4, 3) == (doubled.remote(2), added.remote(2))
    assert ["Doubler", "added"] == list(app.registered_functions)


# -- the order of the decorators, and what goes on what -----------------------------------------------------


def test_M1_11_concurrent_above_function_says_to_swap_the_order(app: modal.App) -> None:
    f = app.function()(plain)
    with pytest.raises(InvalidError, match="swap the order"):
        modal.concurrent(max_inputs=2)(f)


def test_M1_11_concurrent_above_cls_says_to_swap_the_order(app: modal.App) -> None:
    C = app.cls()(Plain)
    with pytest.raises(InvalidError, match="swap the order"):
        modal.concurrent(max_inputs=2)(C)


def test_concurrent_twice_is_refused() -> None:
    def f() -> None:
        pass

    once = modal.concurrent(max_inputs=2)(f)
    with pytest.raises(InvalidError, match="twice"):
        modal.concurrent(max_inputs=3)(once)


def test_concurrent_above_method_points_to_the_class() -> None:
    with pytest.raises(InvalidError, match="decorate the class"):

        class C:
            @modal.concurrent(max_inputs=2)
            @modal.method()
            def f(self) -> None:
                pass


def test_concurrent_below_method_points_to_the_class(app: modal.App) -> None:
    with pytest.raises(InvalidError, match="decorate the class"):

        @app.cls()
        class C:
            @modal.method()
            @modal.concurrent(max_inputs=2)
            def f(self) -> None:
                pass


def test_concurrent_on_something_that_cannot_be_called_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not 5"):
        modal.concurrent(max_inputs=2)(5)


def test_concurrent_without_max_inputs_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="max_inputs"):
        modal.concurrent(target_inputs=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("hook", [modal.enter, modal.exit])
def test_M5_4_a_hook_cannot_be_a_method_as_well(hook: Callable[[], Any]) -> None:
    with pytest.raises(InvalidError, match="both"):

        class A:
            @hook()
            @modal.method()
            def f(self) -> None:
                pass

    with pytest.raises(InvalidError, match="both"):

        class B:
            @modal.method()
            @hook()
            def f(self) -> None:
                pass


def test_hooks_and_methods_go_on_plain_functions_only() -> None:
    for decorate in (modal.enter(), modal.exit(), modal.method()):
        with pytest.raises(TypeError, match="plain method"):
            decorate(Plain)  # type: ignore[arg-type]


def test_M5_8_a_method_used_on_the_class_asks_for_an_instance(app: modal.App) -> None:
    @app.cls()
    class C:
        size = 3

        @modal.method()
        def f(self) -> int:
            return 1

    for verb in ("remote", "map", "starmap", "for_each", "spawn", "local"):
        with pytest.raises(AttributeError, match="did you forget to make one"):
            getattr(C.f, verb)
    assert 3 == C.size


# -- schedules, generators, names ------------------------------------------------------------------------------


def test_M1_12_a_schedule_needs_a_function_without_required_parameters(app: modal.App) -> None:
    def needs(x: int, y: int = 0, *args: int, **kwargs: int) -> None:
        pass

    with pytest.raises(InvalidError, match="'x'"):
        app.function(schedule=modal.Period(seconds=1))(needs)

    def does_not(y: int = 0, *args: int, **kwargs: int) -> None:
        pass

    app.function(schedule=modal.Period(seconds=1))(does_not)


def test_a_schedule_that_is_no_schedule_is_refused(app: modal.App) -> None:
    with pytest.raises(InvalidError, match="Cron or a Period"):
        app.function(schedule="0 6 * * *")  # type: ignore[arg-type]


def test_a_schedule_is_not_for_classes(app: modal.App) -> None:
    with pytest.raises(TypeError, match="schedule"):
        app.cls(schedule=modal.Period(seconds=1))


def test_M1_13_retries_do_not_go_with_a_generator_function(app: modal.App) -> None:
    def items() -> Any:
        yield 1

    async def async_items() -> Any:
        yield 1

    for generator in (items, async_items):
        with pytest.raises(InvalidError, match="generator"):
            app.function(retries=1)(generator)


def test_M1_18_the_second_function_of_a_name_wins_with_a_warning(
    app: modal.App, caplog: pytest.LogCaptureFixture
) -> None:
    app.function(name="f")(lambda: 1)
    with caplog.at_level(logging.WARNING, "actorpool"):
        newer = app.function(name="f")(lambda: 2)
    assert ["function 'f' is defined twice in app 'my-app'; the newer one wins"] == caplog.messages
    with app.run():
        assert 2 == newer.remote()


def test_M1_18_the_second_class_of_a_name_wins_with_a_warning(
    app: modal.App, caplog: pytest.LogCaptureFixture
) -> None:
    def define(value: int) -> Any:
        @app.cls()
        class C:
            @modal.method()
            def f(self) -> int:
                return value

        return C

    define(1)
    with caplog.at_level(logging.WARNING, "actorpool"):
        newer = define(2)
    assert ["class 'C' is defined twice in app 'my-app'; the newer one wins"] == caplog.messages
    with app.run():
        assert 2 == newer().f.remote()


# -- parameters of a class ---------------------------------------------------------------------------------


def test_a_parameter_needs_an_annotation(app: modal.App) -> None:
    with pytest.raises(InvalidError, match="'x' of class 'C' needs an annotation"):

        @app.cls()
        class C:
            x = modal.parameter()


def test_parameters_and_an_init_do_not_go_together(app: modal.App) -> None:
    with pytest.raises(InvalidError, match="__init__"):

        @app.cls()
        class C:
            x: int = modal.parameter()

            def __init__(self) -> None:
                pass


def test_a_default_that_cannot_tell_pools_apart_is_refused_where_it_is_written(app: modal.App) -> None:
    with pytest.raises(InvalidError, match=r"(?s)'x'.*hashable"):

        @app.cls()
        class C:
            x: list[int] = modal.parameter(default=[])


def test_wrong_parameters_are_refused_when_the_instance_is_used(app: modal.App) -> None:
    @app.cls()
    class C:
        x: int = modal.parameter()
        note: str = modal.parameter(default="a")
        hidden: int = modal.parameter(default=1, init=False)

        @modal.method()
        def f(self) -> tuple[int, str, int]:
            return self.x, self.note, self.hidden

    make: Any = C
    with app.run():
        with pytest.raises(InvalidError, match="needs its parameter 'x'"):
            make().f.remote()
        with pytest.raises(InvalidError, match="by keyword"):
            make(1).f.remote()
        with pytest.raises(InvalidError, match="no parameter 'y'"):
            make(x=1, y=2).f.remote()
        with pytest.raises(InvalidError, match="no parameter 'hidden'"):
            make(x=1, hidden=2).f.remote()
        with pytest.raises(TypeError, match="must be int, not '1'"):
            make(x="1").f.remote()
        with pytest.raises(TypeError, match="must be int, not True"):
            make(x=True).f.remote()
        with pytest.raises(ValueError, match="hashable"):
            make(x=[])
        assert (1, "a", 1) == make(x=1).f.remote()


def test_M5_13_base_classes_parameters_and_hooks_count(app: modal.App) -> None:
    class Base:
        x: int = modal.parameter()

        @modal.enter()
        def load(self) -> None:
            self.loaded = self.x + 1

    @app.cls()
    class C(Base):
        @modal.method()
        def f(self) -> int:
            return self.loaded

    make: Any = C
    with app.run():
        assert 4 == make(x=3).f.remote()


# -- calling the handle itself ------------------------------------------------------------------------------


def test_a_function_object_is_not_callable_and_says_what_to_write(app: modal.App) -> None:
    f: Any = app.function()(plain)
    for call in (lambda: f(1), lambda: f([1]).map(), lambda: list(map(f, [1]))):
        with pytest.raises(TypeError, match=r"plain\.remote") as caught:
            call()
        assert isinstance(caught.value, InvalidError)


def test_an_attribute_that_an_app_lacks_is_an_attribute_error(app: modal.App) -> None:
    assert not hasattr(app, "image")
    assert not hasattr(app, "nonsense")


def test_reprs_never_raise(app: modal.App) -> None:
    f = app.function()(plain)
    C: Any = app.cls()(Plain)
    for thing in (app, f, f.remote, f.map, C, C(x=1), modal.Function.from_name("no", "no")):
        assert repr(thing)


def test_M1_3_a_run_may_give_the_app_a_name() -> None:
    app = modal.App()
    with app.run(name="nightly"):
        assert "nightly" == app.name


def test_is_generator_may_be_given_but_not_contradict_the_function() -> None:
    app = modal.App()

    @app.function(is_generator=True)
    def numbers() -> Any:
        yield 1

    with pytest.raises(InvalidError, match="contradicts function 'plain', which is no generator function"):

        @app.function(is_generator=True)
        def plain() -> None: ...

    with app.run():
        assert [1] == list(numbers.remote_gen())
