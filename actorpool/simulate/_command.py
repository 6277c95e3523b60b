# SPDX-License-Identifier: Apache-2.0
"""The command `actorpool simulate`: a workload, settings to compare, a table and pictures.

What a table or a picture looks like, and what the words of a setting mean, is decided elsewhere.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import asdict

from actorpool._cli._arguments import Parser, joined
from actorpool._cli._errors import CommandError
from actorpool.exception import InvalidError, TraceError

from ._choices import Choice, choices, read_policy, read_setting
from ._families import FAMILIES, family
from ._recorded import read_recording
from ._svg import draw_costs, draw_course
from ._table import MEASURES, summary, table
from ._units import parse_seconds

if TYPE_CHECKING:
    from ._report import Report
    from ._trace import Trace

__all__ = ["simulate_command"]

T = TypeVar("T")

_USAGE: Final = """\
actorpool simulate [OPTION ...] TRACE
       actorpool simulate [OPTION ...] --family NAME"""

_ABOUT: Final = """\
What would these settings have cost, and how long would inputs have waited?

TRACE is what `actorpool record` has written. Its inputs come again, in simulated
time, to the pool and the policy that decide in a running app; the table says what
came of it, beside what really happened."""

_MORE: Final = f"""\
settings:
  min_containers, max_containers (or none), buffer_containers, scaledown_window,
  max_inputs, target_inputs. Those not given are the recorded ones. Times are in
  seconds, or as in 500ms, 30s, 5min, 2h.

families:
  {", ".join(FAMILIES[:5])},
  {", ".join(FAMILIES[5:])}

examples:
  actorpool simulate trace.mp
  actorpool simulate trace.mp --set max_containers=4 --set scaledown_window=5s,30s,2min
  actorpool simulate trace.mp --set buffer_containers=0,1,2 --plot-costs costs.svg
  actorpool simulate trace.mp --policy window --policy adaptive --plot course.svg
  actorpool simulate --family cron --seed 7 --set scaledown_window=30s,5min"""

# More panels than this make no picture.
_MOST_PANELS: Final = 8


def simulate_command(words: Sequence[str]) -> int:
    """Carry out the words behind `actorpool simulate`; return the exit status.

    Raises:
        SystemExit: With 2 if the words are wrong, with 0 after `--help`.
    """
    options = _read(words)
    try:
        notes: list[str] = []
        reports = _carry_out(options, notes)
        if options.json:
            for report in reports:
                sys.stdout.write(f"{json.dumps(_figures(report))}\n")
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            lines = [summary(reports[0].trace), "", table(reports, width=width), *notes]
            sys.stdout.write("\n".join([*lines, ""]))
    except (CommandError, InvalidError, TraceError) as error:
        _say(f"actorpool simulate: error: {error}")
        return 1
    return 0


def _read(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="actorpool simulate", usage=_USAGE, description=_ABOUT, epilog=_MORE)
    parser.add_argument("trace", metavar="TRACE", nargs="?", type=_trace, help=argparse.SUPPRESS)
    options = parser.add_argument_group("options")
    valued = [
        options.add_argument(
            "--set",
            dest="settings",
            metavar="NAME=VALUE[,VALUE ...]",
            action="append",
            default=[],
            type=_checked(read_setting),
            help="a setting; several values, or several of these, are compared in all combinations",
        ),
        options.add_argument(
            "--policy",
            dest="policies",
            metavar="POLICY",
            action="append",
            default=[],
            type=_checked(read_policy),
            help="window (the default), adaptive, adaptive:2 (waits less; 0.5 costs less), or MODULE:NAME for "
            "one of yours; several are compared",
        ),
        options.add_argument(
            "--function",
            metavar="NAME",
            help="the function of a recorded app (default: the one with most inputs)",
        ),
        options.add_argument(
            "--family",
            metavar="NAME",
            choices=FAMILIES,
            help="a synthetic workload instead of a recorded one",
        ),
        options.add_argument(
            "--seed",
            metavar="N",
            type=int,
            default=0,
            help="draws another workload of the family (default: 0)",
        ),
        options.add_argument(
            "--startup",
            metavar="TIME",
            type=_checked(parse_seconds),
            help="the family's start-up time, such as 0, 10ms, 0.3s or 5s",
        ),
        options.add_argument(
            "--load",
            metavar="FACTOR",
            type=float,
            default=1.0,
            help="how many inputs come, in multiples of the family's (default: 1)",
        ),
        options.add_argument(
            "--plot",
            metavar="FILE.svg",
            type=_picture,
            help="draw demand, containers and backlog over time, a panel for each line of the table",
        ),
        options.add_argument(
            "--from",
            dest="begin_s",
            metavar="TIME",
            type=_checked(parse_seconds),
            default=0.0,
            help="where that picture begins, such as 30min (default: 0)",
        ),
        options.add_argument(
            "--to", dest="end_s", metavar="TIME", type=_checked(parse_seconds), help="where it ends"
        ),
        options.add_argument(
            "--plot-costs",
            metavar="FILE.svg",
            type=_picture,
            help="draw container time against waiting, a point for each line",
        ),
        options.add_argument(
            "--against",
            metavar="COLUMN",
            choices=MEASURES,
            default="p99",
            help=f"what --plot-costs shows: {', '.join(MEASURES)} (default: p99)",
        ),
    ]
    options.add_argument(
        "--json", action="store_true", help="print one JSON object per line instead of a table"
    )
    options.add_argument("-h", "--help", action="help", help="show this and exit")
    given = parser.parse_args(joined(words, {flag for option in valued for flag in option.option_strings}))
    if (given.trace is None) == (given.family is None):
        parser.error(
            "name the file of a recording, or --family NAME"
            if given.trace is None
            else "name either the file of a recording or --family, not both"
        )
    return given


def _checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return `read` with the errors that a parser shows."""

    def reader(word: str) -> T:
        try:
            return read(word)
        except InvalidError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reader


def _trace(word: str) -> Path:
    if word.endswith(".py") or "::" in word:
        raise argparse.ArgumentTypeError(
            f"'{word}' is a program; record it first: actorpool record trace.mp {word}"
        )
    return Path(word)


def _picture(word: str) -> Path:
    path = Path(word)
    if path.suffix.lower() != ".svg":
        raise argparse.ArgumentTypeError(
            f"'{word}' must end in .svg; browsers show it, and rsvg-convert makes PNG of it"
        )
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder '{path.parent}'")
    return path


def _carry_out(options: argparse.Namespace, notes: list[str]) -> list[Report]:
    reports: list[Report] = []
    if options.family is not None:
        trace = family(options.family, options.seed, startup_s=options.startup, load=options.load)
    else:
        trace = _recorded(options, reports, notes)
    lines = choices(trace, options.settings, options.policies)
    if options.plot is not None and len(lines) + len(reports) > _MOST_PANELS:
        raise InvalidError(
            f"--plot would draw {len(lines) + len(reports)} panels, more than {_MOST_PANELS}; compare fewer at a time, "
            "or use --plot-costs"
        )
    for place, choice in enumerate(lines, 1):
        reports.append(_simulated(choice, trace, options.seed, f"{place} of {len(lines)}"))
    if options.plot is not None:
        _write(options.plot, draw_course(reports, begin_s=options.begin_s, end_s=options.end_s))
        notes.append(f"drawn: {options.plot}")
    if options.plot_costs is not None:
        _write(options.plot_costs, draw_costs(reports, against=options.against))
        notes.append(f"drawn: {options.plot_costs}")
    return reports


def _recorded(options: argparse.Namespace, reports: list[Report], notes: list[str]) -> Trace:
    """Return the trace of the recording; what really happened is the first of the reports."""
    try:
        recorded = read_recording(options.trace)
    except OSError as error:
        raise CommandError(f"'{options.trace}' cannot be read: {error.strerror}") from error
    function = recorded.function(options.function)
    reports.append(function.report)
    others = [name for name, other in recorded.functions.items() if other is not function]
    if others and options.function is None:
        notes.append(f"other functions in the recording, for --function: {', '.join(others)}")
    return function.trace


def _simulated(choice: Choice, trace: Trace, seed: int, place: str) -> Report:
    shown = sys.stderr.isatty()
    if shown:
        sys.stderr.write(f"\r\x1b[Ksimulating {place}: {choice.label}")
        sys.stderr.flush()
    try:
        return choice.simulated(trace, seed)
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")


# Any: what JSON takes.
def _figures(report: Report) -> dict[str, Any]:
    left_out = {"trace", "broken", "_submitted", "_taken", "_changes"}
    figures = asdict(report, filter=lambda attribute, _: attribute.name not in left_out)
    figures["trace"] = report.trace.name
    figures["clairvoyant_s"] = report.clairvoyant_s()
    return figures


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"the picture cannot be written to '{path}': {error.strerror}") from error


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
