# SPDX-License-Identifier: Apache-2.0
"""What a setting would have cost, and how long inputs would have waited: the real pool, in simulated time.

* `Trace`: a workload; `family`: a synthetic one
* `simulate`: one run of it under given settings and a policy, by the machine that decides in a running app
* `Report`: what came of it
* `table`, `draw_course`, `draw_costs`: several of them side by side
* `record`: takes down what a live app does; `read_recording`: the workload of it, and what really happened

The event loops stay out: a simulation is a computation, and needs none.
"""

from __future__ import annotations

from ._engine import simulate as simulate
from ._families import FAMILIES as FAMILIES
from ._families import family as family
from ._ledger import Violation as Violation
from ._recorded import RecordedApp as RecordedApp
from ._recorded import RecordedFunction as RecordedFunction
from ._recorded import read_recording as read_recording
from ._recording import Recording as Recording
from ._recording import record as record
from ._report import Report as Report
from ._report import Series as Series
from ._svg import draw_costs as draw_costs
from ._svg import draw_course as draw_course
from ._table import front as front
from ._table import table as table
from ._trace import MapCall as MapCall
from ._trace import Trace as Trace

__all__ = [
    "FAMILIES",
    "MapCall",
    "RecordedApp",
    "RecordedFunction",
    "Recording",
    "Report",
    "Series",
    "Trace",
    "Violation",
    "draw_costs",
    "draw_course",
    "family",
    "front",
    "read_recording",
    "record",
    "simulate",
    "table",
]
