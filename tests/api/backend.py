# SPDX-License-Identifier: Apache-2.0
"""The switch: `pytest tests/api --backend=process` runs the tests of the API on process containers.

There "process" is what an app's `backend` is by default. A test that makes no sense so is marked
`@pytest.mark.local_only("why")`, and is deselected; so are the hosts that differ from another one only in how fast
they are. CI runs the modules that are marked `conformance`, on asyncio, without what is slow.
"""

from __future__ import annotations

from collections import Counter

import pytest

import actorpool as modal
from actorpool import _spec
from actorpool._core._config import AutoscalerSettings
from tests import shared, warm_templates

__all__ = ["add_option", "deselect", "report", "use"]

# Hosts that process containers are tested on: one of each kind.
HOSTS = ("asyncio", "trio")

# Processes of a pool that nobody bounds.
MOST = 12

_left_out = pytest.StashKey[Counter[str]]()


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=("local", "process"),
        default="local",
        help="what an app's backend is by default in tests/api",
    )


def _on_processes(config: pytest.Config) -> bool:
    return bool(config.getoption("backend", "local") == "process")


def use(config: pytest.Config) -> None:
    """Make the chosen backend the default."""
    if _on_processes(config):
        defaults = modal.App.__init__.__kwdefaults__
        assert defaults is not None
        assert "local" == defaults["backend"]
        defaults["backend"] = "process"
        # Enough for the tests that count containers; by default there are no more than processors.
        monkeypatch = pytest.MonkeyPatch()
        monkeypatch.setattr(_spec, "bounded_by_processors", _bounded)
        warm_templates.use(monkeypatch)
        config.add_cleanup(monkeypatch.undo)
        shared.serve()


def _bounded(settings: AutoscalerSettings) -> AutoscalerSettings:
    if settings.max_containers is not None:
        return settings
    return settings.merged(max_containers=max(MOST, settings.min_containers))


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what makes no sense on the chosen backend."""
    left_out: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("local_only")
        if mark is not None and (len(mark.args) != 1 or not isinstance(mark.args[0], str)):
            raise pytest.UsageError(f"{item.nodeid}: local_only takes one argument, the reason")
        if not _on_processes(config):
            continue
        reason = _reason(item, mark)
        if reason is None:
            kept.append(item)
        else:
            left_out[reason] += 1
            deselected.append(item)
    if deselected:
        items[:] = kept
        config.stash[_left_out] = left_out
        config.hook.pytest_deselected(items=deselected)


def _reason(item: pytest.Item, mark: pytest.Mark | None) -> str | None:
    if mark is not None:
        return str(mark.args[0])
    callspec = getattr(item, "callspec", None)
    parameters = {} if callspec is None else callspec.params
    for name in ("host_name", "virtual_host_name"):
        if parameters.get(name, HOSTS[0]) not in HOSTS:
            return "another host of the same kind"
    return None


def report(config: pytest.Config, reporter: pytest.TerminalReporter) -> None:
    """Print how many tests were left out, and why."""
    for reason, count in config.stash.get(_left_out, Counter()).most_common():
        reporter.write_line(f"local only: {count} × {reason}")
