"""What watched trainings reported -> which is fastest, by how much, and whether they agree. Decides on data alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

TOLERANCE = 0.01
"""How far losses of two backends may be apart, relative, at any step from the same start: float32 sums differ in order
by 1e-7, and each step amplifies what the one before left."""

_FLOOR = 1e-6
"""Losses below this are compared by their difference: float32 says nothing about their ratio."""

_SETTLED = 1.5
"""A step that takes so many times the median of the second half is still part of the warm-up."""

_FEWEST = 4
"""Steps below which the first alone is the warm-up."""


class Training(NamedTuple):
    """One watched run of a program.

    Attributes:
        backend: the backend that Keras came up with; None where Keras was not imported.
        version: Keras's version.
        fits: how often `fit` was called.
        ended: whether the last of them came to its end.
        first: seconds from the start of the program to the end of its first step; None where none ended.
        steps: seconds of each step of the longest training, in order.
        warmup: how many of them are warm-up.
        batch: examples of a batch; None where the data do not say.
        per_execution: optimizer steps between two that are reported.
        shuffled: whether Keras shuffled the examples, each backend in an order of its own.
        parameters: how many the model has; None where it is unknown.
        losses: after each step, as Keras reports them: the mean of the epoch so far.
        final: the last values of the loss and the metrics.
        host: the most bytes of the process's memory; None where the system does not say.
        device: the most bytes of a device's memory; None where it has none of its own.
        start: why it did not begin with the common weights; empty if it did, None where that was not asked for.
    """

    backend: str | None = None
    version: str | None = None
    fits: int = 0
    ended: bool = False
    first: float | None = None
    steps: tuple[float, ...] = ()
    warmup: int = 0
    batch: int | None = None
    per_execution: int = 1
    shuffled: bool = False
    parameters: int | None = None
    losses: tuple[float, ...] = ()
    final: Mapping[str, float] = {}
    host: int | None = None
    device: int | None = None
    start: str | None = None

    @property
    def steady(self) -> tuple[float, ...]:
        """Seconds of each optimizer step behind the warm-up."""
        return tuple(one / self.per_execution for one in self.steps[self.warmup :])

    @property
    def compile(self) -> float | None:
        """Seconds by which the first step was longer than the others: tracing and compiling."""
        if not self.steady:
            return None
        return max(0, self.steps[0] - statistics.median(self.steady) * self.per_execution)


class Summary(NamedTuple):
    """What the runs of one environment come to.

    Attributes:
        step: median seconds of a step; None where no step was behind the warm-up.
        low: the first quartile.
        high: the third quartile.
        medians: the median of each run.
        rate: examples a second; None where the size of a batch is unknown.
        first: median seconds to the end of the first step.
        compile: median seconds of compiling.
        host: the most bytes of memory of any run.
        device: the most bytes of a device's memory of any run.
    """

    step: float | None
    low: float | None
    high: float | None
    medians: tuple[float, ...]
    rate: float | None
    first: float | None
    compile: float | None
    host: int | None
    device: int | None

    @property
    def noise(self) -> float:
        """Seconds by which its step varies: between the quartiles, or between the runs if that is more."""
        quartiles = (self.high or 0) - (self.low or 0)
        return max(quartiles, max(self.medians, default=0) - min(self.medians, default=0))


class Rival(NamedTuple):
    """An environment beside the fastest.

    Attributes:
        name: the environment.
        slower: how much longer its step takes, relative: 0.5 is one and a half times as long.
        noise: whether that is within what steps vary anyway.
    """

    name: str
    slower: float
    noise: bool


class Agreement(NamedTuple):
    """How the losses of two environments compare.

    Attributes:
        one: an environment.
        other: another one.
        distance: the largest relative distance at a step.
        step: the first step at which they are farther apart than tolerated; None if they never are.
        shuffled: whether the examples came in another order in each.
    """

    one: str
    other: str
    distance: float
    step: int | None
    shuffled: bool


class Verdict(NamedTuple):
    """What the comparison comes to.

    Attributes:
        fastest: the environment with the shortest step; None where none trained.
        rivals: the others that trained, the fastest first.
        agreements: each against the first of them; empty where they did not begin with the same weights.
        agree: whether all are within the tolerance; None where that was not looked at.
    """

    fastest: str | None
    rivals: tuple[Rival, ...]
    agreements: tuple[Agreement, ...]
    agree: bool | None


def read(events: Iterable[Mapping[str, Any]]) -> Training:
    """What the events of one run say; events and values of another kind than expected are left out."""
    found = Training()
    fits: dict[int, dict[str, Any]] = {}
    for event in events:
        kind, number = event.get("event"), event.get("fit")
        if kind == "imported" and found.backend is None:
            found = found._replace(backend=_text(event.get("backend")), version=_text(event.get("version")))
        elif kind == "start":
            found = found._replace(start="" if event.get("same") is True else _text(event.get("why")) or "unknown")
        elif isinstance(number, int):
            fit = fits.setdefault(number, {"steps": [], "losses": [], "at": None, "told": {}, "end": None})
            if kind == "fit":
                fit["told"] = event
            elif kind == "step" and (took := _number(event.get("took"))) is not None:
                fit["steps"].append(took)
                loss = _number(event.get("loss"))
                fit["losses"].append(math.nan if loss is None else loss)
                fit["at"] = fit["at"] if fit["at"] is not None else _number(event.get("at"))
            elif kind == "end":
                fit["end"] = event
    if not fits:
        return found
    longest = max(fits.values(), key=lambda fit: len(fit["steps"]))
    ends = [fit["end"] for fit in fits.values() if fit["end"] is not None]
    told, end = longest["told"], longest["end"] or {}
    starts = [fit["at"] for fit in fits.values() if fit["at"] is not None]
    return found._replace(
        fits=len(fits),
        ended=fits[max(fits)]["end"] is not None,
        first=min(starts, default=None),
        steps=tuple(longest["steps"]),
        warmup=warmup(longest["steps"]),
        batch=_whole(told.get("batch")),
        per_execution=_whole(told.get("per_execution")) or 1,
        shuffled=told.get("shuffle") is True,
        parameters=_whole(told.get("parameters")),
        losses=tuple(longest["losses"]),
        final={str(name): value for name, one in _mapping(end.get("logs")) if (value := _number(one)) is not None},
        host=max((one for end in ends if (one := _whole(end.get("host"))) is not None), default=None),
        device=max((one for end in ends if (one := _whole(end.get("device"))) is not None), default=None),
    )


def warmup(steps: Sequence[float]) -> int:
    """How many of these steps are warm-up: those before the first that takes about as long as the later ones do."""
    if len(steps) < _FEWEST:
        return min(1, len(steps))
    half = len(steps) // 2
    usual = statistics.median(steps[half:]) * _SETTLED
    return next((place for place in range(1, half) if steps[place] <= usual), half)


def summarise(runs: Sequence[Training]) -> Summary:
    """What the runs of one environment come to."""
    steady = sorted(one for run in runs for one in run.steady)
    step = statistics.median(steady) if steady else None
    low, high = _quartiles(steady)
    batch = next((run.batch for run in runs if run.batch is not None), None)
    return Summary(
        step=step,
        low=low,
        high=high,
        medians=tuple(statistics.median(run.steady) for run in runs if run.steady),
        rate=batch / step if batch is not None and step else None,
        first=_median(run.first for run in runs),
        compile=_median(run.compile for run in runs),
        host=max((run.host for run in runs if run.host is not None), default=None),
        device=max((run.device for run in runs if run.device is not None), default=None),
    )


def judge(runs: Mapping[str, Sequence[Training]], *, tolerance: float, same_start: bool) -> Verdict:
    """Which environment is fastest, and whether they agree.

    Args:
        runs: environment -> its runs, of those that trained.
        tolerance: how far losses may be apart at a step, relative.
        same_start: whether all were to begin with the same weights.
    """
    summaries = {name: summarise(every) for name, every in runs.items()}
    timed = sorted((one.step, name) for name, one in summaries.items() if one.step)
    rivals: list[Rival] = []
    if timed:
        best, first = timed[0]
        for step, name in timed[1:]:
            noise = max(summaries[first].noise, summaries[name].noise)
            rivals.append(Rival(name, step / best - 1, step - best <= noise))
    agreements = tuple(_agreements(runs, tolerance)) if same_start else ()
    return Verdict(
        fastest=timed[0][1] if timed else None,
        rivals=tuple(rivals),
        agreements=agreements,
        agree=all(one.step is None for one in agreements) if agreements else None,
    )


def _agreements(runs: Mapping[str, Sequence[Training]], tolerance: float) -> Iterable[Agreement]:
    begun = {name: next((run for run in every if run.start == ""), None) for name, every in runs.items()}
    alike = [(name, run) for name, run in begun.items() if run is not None]
    for name, run in alike[1:]:
        base, first = alike[0]
        apart = [distance(a, b) for a, b in zip(first.losses, run.losses, strict=False)]
        if len(first.losses) != len(run.losses):
            apart.append(math.inf)
        yield Agreement(
            one=base,
            other=name,
            distance=max(apart, default=math.inf),
            step=next((place for place, one in enumerate(apart) if one > tolerance), None if apart else 0),
            shuffled=first.shuffled or run.shuffled,
        )


def distance(one: float, other: float) -> float:
    """How far two losses are apart, relative to the larger; infinite where one is not a finite number."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other), _FLOOR)


def _quartiles(steady: Sequence[float]) -> tuple[float | None, float | None]:
    if not steady:
        return None, None
    if len(steady) == 1:
        return steady[0], steady[0]
    low, _, high = statistics.quantiles(steady, n=4, method="inclusive")
    return low, high


def _median(values: Iterable[float | None]) -> float | None:
    found = [one for one in values if one is not None]
    return statistics.median(found) if found else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    """A number as the events write it: what JSON has no number for is text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _whole(value: object) -> int | None:
    found = _number(value)
    return None if found is None or not math.isfinite(found) or found < 0 else int(found)


def _mapping(value: object) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()
