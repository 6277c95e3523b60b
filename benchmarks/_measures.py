# SPDX-License-Identifier: Apache-2.0
"""How a contender's run becomes figures: time per input, share of the ideal, one call at a time, its own report.

Each measure takes what a contender offers, a function of the number of inputs, and returns one value per
metric. The synchronous and the asynchronous form differ by an `await` alone.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from time import perf_counter, process_time
from typing import Any, Protocol

from attrs import frozen

__all__ = ["EachCall", "Measure", "Metric", "PerInput", "Reported", "Run", "ShareOfIdeal", "WrongResultError"]

# What a contender offers; Any: an awaitable of it where the contender is asynchronous.
Run = Callable[[int], Any]


class WrongResultError(Exception):
    """A contender did not return what it should have."""


@frozen
class Metric:
    """What one column of figures means."""

    name: str
    unit: str
    higher_is_better: bool = False
    shown: bool = True
    """Whether it stands in the table; everything stands in the JSON file."""


class Measure(Protocol):
    """Takes one sample."""

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    def sample(self, run: Run, n: int) -> Sequence[float]: ...

    async def sample_async(self, run: Callable[[int], Awaitable[Any]], n: int) -> Sequence[float]: ...


def numbers(n: int) -> Sequence[object]:
    """Return the results of the identity of `range(n)`."""
    return range(n)


def check(results: object, n: int, expected: Callable[[int], Sequence[object]] = numbers) -> None:
    """Raise unless `results` is the list of what is expected of `n` inputs, in order."""
    if results != list(expected(n)):
        shown = repr(results)
        raise WrongResultError(f"expected the results of {n} inputs, in order, not {shown[:200]}")


class _Timed:
    """A warm-up, then all inputs at once, timed by the wall clock and by the processor's."""

    def __init__(self, *, expected: Callable[[int], Sequence[object]] = numbers) -> None:
        self._expected = expected

    def sample(self, run: Run, n: int) -> Sequence[float]:
        check(run(ceil(n / 10)), ceil(n / 10), self._expected)
        gc.collect()
        used, begin = process_time(), perf_counter()
        results = run(n)
        elapsed, used = perf_counter() - begin, process_time() - used
        check(results, n, self._expected)
        return self.values(elapsed, used, n)

    async def sample_async(self, run: Callable[[int], Awaitable[Any]], n: int) -> Sequence[float]:
        check(await run(ceil(n / 10)), ceil(n / 10), self._expected)
        gc.collect()
        used, begin = process_time(), perf_counter()
        results = await run(n)
        elapsed, used = perf_counter() - begin, process_time() - used
        check(results, n, self._expected)
        return self.values(elapsed, used, n)

    def values(self, elapsed: float, used: float, n: int) -> Sequence[float]:
        raise NotImplementedError


class PerInput(_Timed):
    """Microseconds per input, of the wall clock; those of the processor (all threads) in the JSON file."""

    metrics = (Metric("time per input", "µs"), Metric("CPU per input", "µs", shown=False))

    def values(self, elapsed: float, used: float, n: int) -> Sequence[float]:
        return elapsed / n * 1e6, used / n * 1e6


class ShareOfIdeal(_Timed):
    """The share, in per cent, of the time that the work itself would take if everything else cost nothing."""

    metrics = (
        Metric("share of the ideal", "%", higher_is_better=True),
        Metric("CPU per input", "µs", shown=False),
    )

    def __init__(self, *, seconds: float, at_once: int) -> None:
        super().__init__()
        self._seconds = seconds
        self._at_once = at_once

    def values(self, elapsed: float, used: float, n: int) -> Sequence[float]:
        ideal = ceil(n / self._at_once) * self._seconds
        return ideal / elapsed * 100, used / n * 1e6


class EachCall:
    """One call after the other, each timed; the contender offers a function of one number that returns it."""

    metrics = tuple(Metric(name, "µs", shown=name == "p50") for name in ("p50", "p90", "p99", "p99.9"))

    def sample(self, run: Run, n: int) -> Sequence[float]:
        results, laps = [], []
        for number in range(ceil(n / 10)):
            run(number)
        gc.collect()
        for number in range(n):
            begin = perf_counter()
            result = run(number)
            laps.append(perf_counter() - begin)
            results.append(result)
        check(results, n)
        return self.values(laps)

    async def sample_async(self, run: Callable[[int], Awaitable[Any]], n: int) -> Sequence[float]:
        results, laps = [], []
        for number in range(ceil(n / 10)):
            await run(number)
        gc.collect()
        for number in range(n):
            begin = perf_counter()
            result = await run(number)
            laps.append(perf_counter() - begin)
            results.append(result)
        check(results, n)
        return self.values(laps)

    def values(self, laps: list[float]) -> Sequence[float]:
        laps.sort()
        return [laps[min(len(laps) - 1, int(len(laps) * share))] * 1e6 for share in (0.5, 0.9, 0.99, 0.999)]


class Reported:
    """The contender measures by itself, checks its results, and returns one value per metric."""

    def __init__(self, *metrics: Metric) -> None:
        self.metrics = metrics

    def sample(self, run: Run, n: int) -> Sequence[float]:
        gc.collect()
        return list(run(n))

    async def sample_async(self, run: Callable[[int], Awaitable[Any]], n: int) -> Sequence[float]:
        gc.collect()
        return list(await run(n))
