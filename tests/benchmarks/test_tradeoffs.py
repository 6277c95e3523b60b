# SPDX-License-Identifier: Apache-2.0
"""The pictures of the trade-offs are those that their script draws, and the page shows all of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.scaling.tradeoffs import FOLDER, SWEEPS, Sweep

PAGE = Path(__file__).parents[2] / "docs" / "tradeoffs.md"


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
def test_a_sweep_draws_pictures_that_the_page_shows(sweep: Sweep) -> None:
    page = PAGE.read_text("utf-8")

    for name, picture in sweep.pictures(sweep.reports(load=0.05)).items():
        ElementTree.fromstring(picture)
        assert sweep.title in picture
        assert f"(pictures/{name})" in page
        # The committed one has the same title, values and labels; its figures are those of the whole load.
        committed = (FOLDER / name).read_text("utf-8")
        assert all(label in committed for label in (sweep.title, sweep.setting.partition("=")[0]))


def test_more_of_a_setting_buys_less_of_what_it_is_for() -> None:
    for sweep in SWEEPS:
        if sweep.name == "target":
            continue
        first, *_, last = sweep.reports(load=0.3)
        assert last.container_seconds > first.container_seconds
        assert (last.wait_mean_s, last.starts) < (first.wait_mean_s, first.starts)


def test_no_picture_is_left_over() -> None:
    drawn = {f"{sweep.name}-{kind}.svg" for sweep in SWEEPS for kind in ("costs", "course")}

    assert drawn == {path.name for path in FOLDER.iterdir()}
