# SPDX-License-Identifier: Apache-2.0
"""The command `actorpool`, also `python -m actorpool`.

Here the command line is read and what it names is run. What FILE::NAME means, options from annotations, signals
and tracebacks live in `_cli`.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from actorpool._cli._arguments import Given, Parser, joined, parse
from actorpool._cli._errors import CommandError, described
from actorpool._cli._signals import Interruption
from actorpool._cli._targets import Entrypoint, Reference, Runnable, find
from actorpool._core._counts import counted
from actorpool._host._asyncio import run_async
from actorpool._host._base import CancelScope
from actorpool._host._current import current_host
from actorpool._lifecycle import AppRun
from actorpool._output import output_shown
from actorpool._version import __version__

__all__ = ["main"]

_ABOUT: Final = """\
Autoscaled pools of containers, inside your own process.

commands:
  run         run a local entrypoint, a function or a method of an app
  record      do the same, and take down in a file what its functions did
  simulate    what would other settings have cost, and how long would inputs
              have waited?

`actorpool COMMAND --help` says more."""

_RUN_USAGE: Final = """\
actorpool run [OPTION ...] FILE[::NAME] [ARGUMENT ...]
       actorpool run [OPTION ...] -m MODULE[::NAME] [ARGUMENT ...]"""

_RUN_ABOUT: Final = """\
Run a local entrypoint, a function or a method, with its app running meanwhile.

NAME is a local entrypoint, a function, Class.method, or one of these behind its
app's variable: app.function. Without NAME it is the only local entrypoint, or
else the only function; those at module level go first.

The arguments are options made from the parameters: --name VALUE for `name`,
--fast or --no-fast for `fast: bool`. To see them, put --help behind NAME.

A local entrypoint runs in this process's main thread, a function or method in
its pool; their results are not printed."""

_RUN_MORE: Final = """\
signals:
  The first Ctrl-C or SIGTERM drains: nothing more is accepted, what has been
  accepted is finished, the exit hooks run. A local entrypoint goes on: it gets
  the results of its calls, another call raises ClosedError, and when the grace
  is over it is interrupted (by KeyboardInterrupt, or cancelled if it is async).
  The second one stops at once: it cancels all that still runs, and ends the
  process if that takes more than a second.

exit status:
  0 done, 1 failed, 2 wrong options, 130 after Ctrl-C, 143 after SIGTERM;
  sys.exit(status) in a local entrypoint is obeyed

examples:
  actorpool run resize.py --folder photos
  actorpool run resize.py::resize_one --path cat.jpg --width 300
  actorpool run -q -w greeting.txt -m jobs.hello::Greeter.greet --name Ada"""

_RECORD_USAGE: Final = """\
actorpool record [OPTION ...] TRACE FILE[::NAME] [ARGUMENT ...]
       actorpool record [OPTION ...] TRACE -m MODULE[::NAME] [ARGUMENT ...]"""

_RECORD_ABOUT: Final = """\
Run a local entrypoint, a function or a method as `actorpool run` does, and record
to the file TRACE what the app's functions did meanwhile: when each input came,
how long it waited and ran, and the start-up times of containers.

All behind TRACE is as for `actorpool run`; see its --help. The recording is
whole when the app has ended. It does not hold what the inputs were."""

_RECORD_MORE: Final = """\
examples:
  actorpool record trace.mp resize.py --folder photos"""

# Options of Modal's that users may try: {the option: what it is there}.
_CLOUD_ONLY: Final = {
    "-i": "an interactive container",
    "--interactive": "an interactive container",
    "-e": "an environment",
    "--env": "an environment",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line and return the exit status.

    Args:
        argv: The words behind the command; default those of this process.

    Raises:
        SystemExit: With 2 if options are wrong, with 0 after `--help`, and whatever the user's code raises of it.
    Threads: The main thread, whose SIGINT and SIGTERM are handled meanwhile; in another one signals are left alone.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:
        return _run(words[1:])
    if words[:1] == ["record"]:
        return _run(words[1:], recorded=True)
    if words[:1] == ["simulate"]:
        from actorpool.simulate._command import simulate_command

        return simulate_command(words[1:])
    parser = Parser(prog="actorpool", usage="actorpool COMMAND ...", description=_ABOUT)
    options = parser.add_argument_group("options")
    options.add_argument("-h", "--help", action="help", help="show this and exit")
    options.add_argument(
        "--version", action="version", version=f"actorpool {__version__}", help="show the version and exit"
    )
    _, unknown = parser.parse_known_args(words or ["--help"])
    parser.error(f"there is no command '{(unknown or words)[0]}'; the commands are: run, record, simulate")


def _grace(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of seconds, 0 or more")
    return seconds


def _read(words: list[str], *, recorded: bool) -> tuple[argparse.Namespace, list[str]]:
    """Read the words behind `run` or `record`: the options before FILE, FILE, and what is for its target."""
    if recorded:
        parser = Parser(
            prog="actorpool record", usage=_RECORD_USAGE, description=_RECORD_ABOUT, epilog=_RECORD_MORE
        )
        parser.add_argument("trace", metavar="TRACE", type=_trace_path, help=argparse.SUPPRESS)
    else:
        parser = Parser(prog="actorpool run", usage=_RUN_USAGE, description=_RUN_ABOUT, epilog=_RUN_MORE)
        parser.set_defaults(trace=None)
    parser.add_argument("reference", metavar="FILE[::NAME]", help=argparse.SUPPRESS)
    options = parser.add_argument_group("options")
    options.add_argument(
        "-m", dest="is_module", action="store_true", help="what follows is a module, not a file"
    )
    valued = [
        options.add_argument(
            "-w",
            "--write-result",
            metavar="FILE",
            type=Path,
            help="write the result there; it must be str (written as UTF-8) or bytes",
        ),
        options.add_argument(
            "--grace",
            metavar="SECONDS",
            type=_grace,
            default=10.0,
            help="longest drain at the end and after a signal (default: 10)",
        ),
        options.add_argument("--name", metavar="NAME", help="the app's name for this run"),
    ]
    options.add_argument(
        "-d",
        "--detach",
        action="store_true",
        help="call the function by spawn, with the larger limits of spawned inputs, then wait",
    )
    options.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="show nothing of the app's scaling and warnings; errors still",
    )
    options.add_argument(
        "--timestamps", action="store_true", help="begin each line of the app's with the time"
    )
    options.add_argument("-h", "--help", action="help", help="show this and exit")
    takes_value = {flag for option in valued for flag in option.option_strings}
    # Options stand before FILE, and of TRACE on both sides.
    end, traces = 0, int(recorded)
    while end < len(words) and (words[end].startswith("-") or traces):
        if words[end] in _CLOUD_ONLY:
            parser.error(
                f"{words[end]} is for {_CLOUD_ONLY[words[end]]} in Modal's cloud; here functions run in this process"
            )
        traces -= not words[end].startswith("-")
        end += 2 if words[end] in takes_value else 1
    return parser.parse_args(joined(words[: end + 1], takes_value)), words[end + 1 :]


def _trace_path(word: str) -> Path:
    if word.endswith(".py") or "::" in word:
        raise argparse.ArgumentTypeError(
            f"{word!r} is a program; the file to write comes first: actorpool record trace.mp {word}"
        )
    return Path(word)


def _run(words: list[str], *, recorded: bool = False) -> int:
    options, rest = _read(words, recorded=recorded)

    def report(sentence: str) -> None:
        if not options.quiet:
            _say(f"actorpool: {sentence}")

    with (
        output_shown(level=logging.ERROR if options.quiet else logging.INFO, timestamps=options.timestamps),
        Interruption(options.grace, report) as interruption,
    ):
        try:
            _check_result_file(options.write_result)
            reference = Reference.read(options.reference, is_module=options.is_module)
            runnable = find(reference.load(), reference)
            given = _parse(runnable, reference, rest)
            if options.name is not None:
                runnable.life.rename(options.name)
            with _recording(runnable, options.trace, report):
                returned = _carry_out(runnable, given, options, interruption)
            if options.write_result is not None and returned:
                _write_result(options.write_result, returned[0], runnable.names[0])
        except CommandError as error:
            _say(f"actorpool {'record' if recorded else 'run'}: error: {error}")
            return 1
        except SystemExit:
            raise
        except BaseException as error:
            # Whatever the user's code raises; a status takes its place.
            if not interruption.caused(error):
                _say(described(error).rstrip("\n"))
                return 1
        return interruption.status


@contextmanager
def _recording(runnable: Runnable, path: Path | None, report: Callable[[str], None]) -> Iterator[None]:
    """Record the app to `path`, if there is one."""
    if path is None:
        yield
        return
    from actorpool.simulate import Recording

    recording = Recording(runnable.life, path)
    try:
        recording.__enter__()
    except OSError as error:
        raise CommandError(f"the trace cannot be written to '{path}': {error.strerror}") from error
    try:
        yield
    finally:
        try:
            recording.__exit__(*sys.exc_info())
        except OSError as error:
            raise CommandError(f"the trace was not written to '{path}': {error.strerror}") from error
    report(
        f"recorded {counted(recording.inputs, 'input')} in {recording.duration_s:.3g} s to {path}; "
        f"what other settings would have cost: actorpool simulate {path}"
    )


def _parse(runnable: Runnable, reference: Reference, words: Sequence[str]) -> Given:
    prog = f"actorpool run {reference}::{runnable.names[0]}"
    return parse(runnable.signature(), words, prog=prog, about=runnable.about)


def _carry_out(
    runnable: Runnable, given: Given, options: argparse.Namespace, interruption: Interruption
) -> tuple[Any, ...]:
    """Run it, with its app; return what it returned, in a tuple that is empty if it was interrupted."""
    returned: list[Any] = []
    interruption.begin(runnable.life)
    app_run = AppRun(None, runnable.life, options.grace)
    if isinstance(runnable, Entrypoint) and runnable.entrypoint.is_async:
        entrypoint = runnable

        async def run_here() -> None:
            async with app_run:
                host = current_host()
                with host.move_on_after(math.inf) as scope:
                    with interruption.body(lambda: host.bridge.post(_cancel, scope)):
                        returned.append(await entrypoint.call(given))

        run_async(run_here)
        return tuple(returned)
    with app_run, interruption.body():
        if isinstance(runnable, Entrypoint):
            returned.append(runnable.call(given))
        else:
            function, args, kwargs = runnable.handle(given)
            if options.detach:
                returned.append(function.spawn(*args, **kwargs).get())
            else:
                returned.append(function.remote(*args, **kwargs))
    return tuple(returned)


def _cancel(scope: CancelScope) -> None:
    scope.cancel()


def _check_result_file(path: Path | None) -> None:
    """Find out before the run, not after it."""
    if path is not None and path.is_dir():
        raise CommandError(f"the result cannot be written to '{path}': that is a folder")
    if path is not None and not path.parent.is_dir():
        raise CommandError(f"the result cannot be written to '{path}': there is no folder '{path.parent}'")


def _write_result(path: Path, result: object, name: str) -> None:
    if isinstance(result, str):
        result = result.encode()
    if not isinstance(result, bytes):
        raise CommandError(
            f"'{name}' returned a value of type {type(result).__name__}, and --write-result writes str or bytes only"
        )
    try:
        path.write_bytes(result)
    except OSError as error:
        raise CommandError(f"the result cannot be written to '{path}': {error.strerror}") from error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
