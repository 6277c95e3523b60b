# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures show the figures of their reports, in well-formed text, whatever these are."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from actorpool import AutoscalerSettings, Limits
from actorpool.exception import InvalidError
from actorpool.simulate import Report, Trace, draw_costs, draw_course, front, simulate, table
from actorpool.simulate._ledger import Ledger
from actorpool.simulate._table import summary

SVG = "{http://www.w3.org/2000/svg}"


def report(
    label: str, *, inputs: int = 5, slots: int = 1, duration_s: float = 100.0, **settings: float
) -> Report:
    trace = Trace(
        name="five <inputs> & more",
        arrivals=[10.0 + 10.0 * place for place in range(inputs)],
        services=[4.0] * inputs,
        startups=[2.0],
        duration_s=duration_s,
    )
    bounds = AutoscalerSettings(scaledown_window=settings.pop("window", 3.0)).merged(
        **{name: int(value) for name, value in settings.items()}
    )
    return simulate(trace, bounds, max_inputs=slots, label=label)


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def numbers(picture: str) -> list[float]:
    return [float(word) for word in re.findall(r"-?\d+\.\d+", picture)]


def test_a_table_has_a_line_for_each_report_with_the_cost_against_the_first() -> None:
    lines = table([report("window=3 s"), report("window=20 s", window=20.0)]).splitlines()

    heads = "container time|idle|wait mean|p50|p95|p99|max|cold|starts|peak"
    assert heads.split("|") == cells(lines[0])
    short = "window=3 s|45.0 s|33 %|2.0 s|2.0 s|2.0 s|2.0 s|2.0 s|100 %|5|1"
    assert short.split("|") == cells(lines[2])
    long = "window=20 s|64.0 s|+42 %|66 %|0.40 s|0 s|2.0 s|2.0 s|2.0 s|20 %|1|1"
    assert long.split("|") == cells(lines[3])
    assert len({len(line.rstrip()) for line in lines[1:4]}) == 1


def test_a_narrow_table_leaves_out_what_matters_less() -> None:
    reports = [report("window=3 s"), report("window=20 s", window=20.0)]

    heads = cells(table(reports, width=80).splitlines()[0])
    assert ["container time", "idle", "wait mean", "p99", "cold", "starts", "peak"] == heads
    assert max(len(line) for line in table(reports, width=80).splitlines()[:4]) <= 80
    assert ["container time", "wait mean", "p99", "starts"] == cells(table(reports, width=20).splitlines()[0])
    with pytest.raises(InvalidError, match="nothing to show"):
        table([])


def test_the_front_is_what_no_other_one_beats() -> None:
    cheap, fast, bad = (
        report("cheap"),
        report("fast", min_containers=1),
        report("bad", window=5.0, buffer_containers=1),
    )

    assert [cheap, fast] == front([cheap, fast, bad])
    assert [cheap, report("again")][:1] == front([cheap])
    starred = [line[0] for line in table([cheap, fast, bad]).splitlines()[2:5]]
    assert ["*", "*", " "] == starred


def test_a_table_says_what_was_refused_and_what_was_broken() -> None:
    trace = Trace(arrivals=[0.0] * 3, services=[1.0] * 3, startups=[1.0])
    assert "tight: 1 input refused" in table([simulate(trace, limits=Limits(max_pending=2), label="tight")])

    ledger = Ledger(AutoscalerSettings(max_containers=1), trace.concurrency)
    for _ in range(2):
        ledger.gone(ledger.asked(0.0), 1.0)
    ledger.asked(0.0)
    ledger.asked(0.0)
    broken = Report.of(
        trace,
        "bad",
        AutoscalerSettings(),
        trace.concurrency,
        ledger,
        submitted=trace.arrivals,
        taken=trace.arrivals,
        cold=0,
        refused=0,
        looks=0,
        overruled=0,
        duration_s=1.0,
    )
    assert "bad: THE CONTRACT WAS BROKEN (max 1 times); first: 2 containers" in table([broken])


def test_a_summary_says_what_the_workload_is() -> None:
    trace = report("x").trace

    assert summary(trace) == (
        "five <inputs> & more: 5 inputs in 100 s, 0.2 running on average, 4.0 s each; a start takes 2.0 s"
    )


def test_a_course_has_a_panel_for_each_report() -> None:
    picture = draw_course([report("one"), report("two & three", slots=2, max_containers=1)])

    shown = texts(picture)
    assert "five <inputs> & more" == shown[0]
    assert {"one", "two & three", "slots of containers"} <= set(shown)
    assert "45.0 s container time · 5 starts · wait 2.0 s mean, 2.0 s p99" in shown
    assert all(-1 <= number <= 900 for number in numbers(picture))


def test_costs_are_points_with_their_labels_and_the_front_is_joined() -> None:
    reports = [
        report("cheap"),
        report("fast", min_containers=1),
        report("bad", window=5.0, buffer_containers=1),
    ]

    picture = draw_costs(reports, title="Mine")

    root = ElementTree.fromstring(picture)
    assert 3 == len(list(root.iter(f"{SVG}circle")))
    assert {"Mine", "cheap", "fast", "bad", "container time in seconds"} <= set(texts(picture))
    (joined,) = root.iter(f"{SVG}polyline")
    assert 2 == len(joined.attrib["points"].split())


def test_other_figures_may_stand_against_the_cost() -> None:
    reports = [
        report("cold"),
        report("warm", min_containers=1),
        report("bad", window=5.0, buffer_containers=2),
    ]

    assert reports[:2] == front(reports, against="cold")
    assert {"cold starts, in % of the inputs; left and below is better", "100"} <= set(
        texts(draw_costs(reports, against="cold"))
    )
    assert "starts of containers; left and below is better" in texts(draw_costs(reports, against="starts"))
    with pytest.raises(InvalidError, match="there is no measure 'colour'; there are mean, p50"):
        draw_costs(reports, against="colour")


def test_a_course_may_be_cut_out() -> None:
    shown = texts(draw_course([report("one")], begin_s=10.0, end_s=30.0))

    assert {"10 s", "20 s", "30 s"} <= set(shown)
    assert "40 s" not in shown


def test_many_points_in_one_place_keep_their_labels_apart() -> None:
    reports = [report(f"the label of number {number}") for number in range(6)]

    root = ElementTree.fromstring(draw_costs(reports))

    labels = [text for text in root.iter(f"{SVG}text") if (text.text or "").startswith("the label")]
    assert 6 == len({(text.attrib["x"], text.attrib["y"]) for text in labels})


@pytest.mark.parametrize("draw", [draw_course, draw_costs])
def test_an_empty_simulation_can_be_drawn_and_none_cannot(draw: Callable[[list[Report]], str]) -> None:
    ElementTree.fromstring(draw([report("empty", inputs=0, duration_s=0.0)]))
    with pytest.raises(InvalidError, match="nothing to draw"):
        draw([])
