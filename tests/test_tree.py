"""`kgen tree`: which package of an environment needs which, by what the packages on disk say."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import serving
from tests.wheelhouse import Wheel, Wheelhouse

from kgen.actions.tree import Need, Tree

ABOVE = (
    "above",
    (
        "below[fast]>=1,<3",
        "absent-here; sys_platform == 'win32'",
        "only-with-extra; extra == 'more'",
        "circle",
    ),
)


@pytest.fixture(name="planted")
def _planted(kgen: Kgen, wheelhouse: Wheelhouse) -> Iterator[Kgen]:
    """An environment with a small tree of its own beside NumPy's."""
    house = wheelhouse.copy()
    house.put(
        Wheel(name=ABOVE[0], version="1.0", requires=ABOVE[1]),
        Wheel(name="below", version="2.0", requires=("quick; extra == 'fast'", "slow; extra == 'late'")),
        Wheel(name="quick", version="0.1"),
        Wheel(name="circle", version="1.1", requires=("above>=1",)),
    )
    with serving(house) as index:
        yield kgen.at(index.url)


def test_what_needs_what(planted: Kgen) -> None:
    assert planted(*LOCK, "numpy", "--dependency", "above").status == 0
    early = planted("tree", "numpy")
    assert early.status == 4
    assert early.stderr.endswith("only the packages themselves say what they need\n\nhint: kgen sync numpy-cpu\n")
    for words, hint in (
        (("--invert", "Above"), "kgen tree numpy-cpu --invert --package Above"),
        (("above",), "kgen tree numpy-cpu --package above"),
    ):
        assert planted("tree", *words) == Result(
            2, "", f"error: `{words[-1]}` is a package, and `kgen tree` begins with an environment\n\nhint: {hint}\n"
        )
    assert "there is no locked environment `absent`" in planted("tree", "absent").stderr
    needed_by = "hint: kgen tree numpy-cpu --invert --package above   # what needs it\n"
    assert planted("list", "above") == Result(
        2,
        "",
        f"error: `above` is a package, and `kgen list` takes environments\n\n{needed_by}"
        "hint: kgen list   # every package, with its version in each environment\n",
    )
    assert "there is no locked environment `absent`" in planted("list", "absent").stderr
    assert planted("explain", "above").stderr.startswith(f"error: unknown backend `above`\n\n{needed_by}")
    assert planted("sync", "numpy").status == 0

    assert planted("tree", "numpy", "--package", "Above") == Result(
        0,
        "numpy-cpu\n"
        "└── above 1.0\n"
        "    ├── below[fast] 2.0 (<3,>=1)\n"
        "    │   └── quick 0.1\n"
        "    └── circle 1.1\n"
        "        └── above 1.0 (>=1) (*)\n",
        "(*) is in the tree above with all that is below it\n",
    )
    assert planted("tree", "numpy", "--invert", "--package", "quick").stdout == (
        "numpy-cpu\n"
        "└── quick 0.1\n"
        "    └── below 2.0\n"
        "        └── above[fast] 1.0 (<3,>=1)\n"
        "            └── circle 1.1 (>=1)\n"
        "                └── above 1.0 (*)\n"
    )
    whole = planted("tree", "numpy").stdout
    data = json.loads(planted("tree", "numpy", "--json").stdout)
    assert data["environment"] == "numpy-cpu"
    listed = json.loads(planted("list", "numpy", "--json").stdout)["environments"]["numpy-cpu"]
    assert {name: one["version"] for name, one in data["packages"].items()} == listed
    assert all(f"── {name}" in whole for name in listed), "every package is in the tree"
    assert data["packages"]["above"]["needs"] == [
        {"name": "below", "extras": ["fast"], "range": "<3,>=1"},
        {"name": "circle", "extras": [], "range": ""},
    ]
    assert planted("tree", "numpy", "--package", "quik").stderr == (
        "error: numpy-cpu has no package `quik`\n\nhint: did you mean `quick`?\n"
    )


def test_a_circle_that_nothing_leads_into_has_a_root() -> None:
    needs = {"a": (Need("b"),), "b": (Need("a"),), "c": (Need("d"),), "d": ()}
    assert Tree("x", dict.fromkeys(needs, "1"), needs).roots == ("a", "c")
