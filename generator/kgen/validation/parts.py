"""Judge the parts of the full suite from the measurements of the training step."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kgen.validation.diagnosis import folded

PASSED, FAILED, CONTRACT, ABSENT = "passed", "failed", "contract", "absent"


class Part(NamedTuple):
    """A judged part of the full suite.

    Attributes:
        name: the part.
        outcome: `passed`, `failed`, `contract` (the backend is not able to do it, and does not have to), or `absent`:
            the environment or the machine lacks what the part is about.
        why: the fault, or the reason why the part did not run; empty if it passed.
        data: the step's measurements: `numbers`, `said`, `seconds`.
        failure: the errors of a part that raised one; empty otherwise. They may have paths in them.
    """

    name: str
    outcome: str
    why: str
    data: Mapping[str, Any]
    failure: Mapping[str, Any]

    @property
    def distance(self) -> float | None:
        """The largest distance of its numbers from their references; None if it compared none with a reference."""
        return max((float(one["distance"]) for one in self.data.get("numbers", ()) if "limit" in one), default=None)

    @property
    def remark(self) -> str:
        """The remark beside the numbers."""
        return self.why or ", ".join(f"{key}: {value}" for key, value in self.data.get("said", {}).items())

    @property
    def receipt(self) -> dict[str, Any]:
        """The part's row in a receipt; of an error only its type, as its text may name paths and people."""
        row: dict[str, Any] = {"part": self.name, "outcome": self.outcome}
        if self.failure:
            row["why"] = self.failure["errors"][0]["type"]
        elif self.why:
            row["why"] = self.why
        return row | {key: self.data[key] for key in ("numbers", "said", "seconds") if key in self.data}


def judged(result: Mapping[str, Any]) -> tuple[Part, ...]:
    """The parts of a step's result."""
    return tuple(_judged(result))


def _judged(result: Mapping[str, Any]) -> Iterator[Part]:
    for row in result.get("parts", ()):
        outcome, why, failure = str(row["outcome"]), str(row.get("why", "")), {}
        if outcome == "failed":
            failure = {"stage": row["part"], "errors": row["errors"], "frames": row.get("frames", ())}
            first = row["errors"][0]
            why = f"{first['type']}: {folded(first['message'])}"
            known = _known_flaw(result, row, raised=f"{first['type']}: {first['message']}")
            if known is not None:
                outcome, why, failure = CONTRACT, known, {}
        elif outcome == "measured":
            numbers = row.get("numbers", ())
            wrong = {number["what"]: text for number in numbers if (text := _wrong(number))}
            why = "; ".join(wrong.values()) if numbers else "nothing was measured"
            outcome = FAILED if why else PASSED
            known = _known_flaw(result, row, wrong=wrong)
            if known is not None:
                outcome, why = CONTRACT, known
        yield Part(str(row["part"]), outcome, why, row, failure)


def _known_flaw(
    result: Mapping[str, Any], part: Mapping[str, Any], *, wrong: Collection[str] = (), raised: str = ""
) -> str | None:
    """The known flaw of these releases, if it explains everything that is wrong with a part; None otherwise.

    Args:
        result: the step's result.
        part: the part's row in it.
        wrong: its numbers that are off.
        raised: the error that it raised; empty if it raised none.
    """
    device, versions = result.get("device", {}).get("kind"), result.get("versions", {})
    return next(
        (
            str(row["says"])
            for row in _contracts()
            if row["part"] == part["part"]
            and row.get("device") in {None, device}
            and (re.match(row.get("error", "(?!)"), raised) if raised else {*wrong} == {row.get("number")})
            and all(_within(versions.get(name), accepted) for name, accepted in row["modules"].items())
        ),
        None,
    )


def _within(version: str | None, accepted: str) -> bool:
    try:
        return version is not None and SpecifierSet(accepted).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


@functools.cache
def _contracts() -> tuple[Mapping[str, Any], ...]:
    text = (Path(__file__).parent / "contracts.toml").read_text(encoding="utf-8")
    return tuple(tomli.loads(text)["contract"])


def _wrong(number: Mapping[str, Any]) -> str:
    """What is wrong with a number; empty if nothing is."""
    distance = float(number["distance"])
    limit, least = float(number.get("limit", math.inf)), float(number.get("least", 0))
    if not math.isfinite(distance) or distance > limit:
        return f"{number['what']} are off by {distance:.2g}, and may be by {limit:.2g}"
    if distance < least:
        return f"{number['what']} are within {distance:.2g}, nearer than what was to be computed can be ({least:.2g})"
    return ""
