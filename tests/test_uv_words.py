"""What uv's explanation of why there is no solution tells of who requires what."""

from __future__ import annotations

import pytest

from kgen import uvtool
from kgen.formats.wheels.refusal import absent, bounds, depended_on, source_only, without_wheels, yanked
from kgen.uvtool import bounded


@pytest.mark.parametrize(
    ("name", "reason", "found"),
    [
        (
            "torch",
            "Because torchvision==0.21.0 depends on torch==2.6.0 and you require torch==2.10.0, we can conclude",
            [("torchvision==0.21.0", "==2.6.0")],
        ),
        (
            "torch",
            "vllm==0.6.5 depends on torch{os_name != 'nt'}==2.5.1 and all of: vllm<1 vllm>=2 depend on torch<2;",
            [("vllm==0.6.5", "==2.5.1"), ("vllm>=2", "<2")],
        ),
        (
            "tensorflow",
            "tensorflow-text==2.16.1 depends on tensorflow[x]{os_name == 'nt' or os_name == 'posix'}>=2.16.1,<2.17;",
            [("tensorflow-text==2.16.1", "<2.17,>=2.16.1")],
        ),
        (
            "torch",
            "a depends on one of: torch==2.1 torch>=2.3,<2.4 we can conclude",
            [("a", "==2.1"), ("a", "<2.4,>=2.3")],
        ),
        ("torch", "a<1 depends on torch and a==1 depends on torch==2", [("a==1", "==2")]),
        # any version might do for b
        ("torch", "a==1 depends on torch==2 and b depends on torch", []),
        ("torch", "a<1 depends on torchvision==2", []),
        ("torch", "a<1 depends on torch-geometric==2", []),
        ("torch", "a<1 depends on torch==not-a-version", []),
        ("torch", "", []),
    ],
)
def test_who_depends_on_what(name: str, reason: str, found: list[tuple[str, str]]) -> None:
    assert [(who, str(bound)) for who, bound in depended_on(name, reason)] == found


def test_how_long_uv_tried_is_no_part_of_a_failure() -> None:
    """So that several environments that fail alike fail with one text."""
    stderr = "error: Request failed after 3 retries in {}\n  Caused by: Failed to fetch: `https://x.example/torch/`\n"
    said = {uvtool.words(stderr.format(seconds)) for seconds in ("11.4s", "8s")}
    assert said == {"Request failed after 3 retries Failed to fetch: `https://x.example/torch/`"}


def test_what_an_index_lacks() -> None:
    reason = (
        "Because Sci_Kit was not found in the package registry and there are no versions of tensor-flow and"
        " all versions of promise have no usable wheels and promise==2.3 has no wheels with a matching tag"
    )
    assert absent(reason) == ["sci-kit", "tensor-flow"]
    assert without_wheels(reason) == ["promise"]
    ranges = "all of: spacy[cuda12x,x]<=2.2.2.dev0 spacy[cuda12x,x]>=2.2.2.dev4,<=3.8.0 spacy[cuda12x,x]>=4.0.0.dev1"
    assert without_wheels(f"Because {ranges} have no usable wheels and numpy>=1.26.0,<=1.26.4 has no wheels") == [
        "spacy",
        "numpy",
    ]


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("all of: fast<=0.2.2 fast>=0.3,<=0.3.1 fast==0.3.2 have no usable wheels and fast==2 has no wheels", "0.3.2"),
        ("Because fast[x]>=1,<=1.5 has no usable wheels", "1.5"),
        ("Because all versions of fast have no usable wheels", None),
        ("Because fast has no usable wheels", None),
        ("Because fast==2 has no wheels with a matching Python ABI tag", {}),
    ],
)
def test_what_is_only_there_as_source(reason: str, found: str | dict[str, str] | None) -> None:
    assert source_only(reason) == (found if isinstance(found, dict) else {"fast": found})


def test_bounds_are_named_once() -> None:
    reason = "a==1 depends on torch<2.5 and b==2 depends on torch<2.5 and you require numpy; c depends on jax>=0.4"
    assert bounds(reason) == [("torch", "<2.5"), ("jax", ">=0.4")]


def test_withdrawn_releases() -> None:
    reason = (
        "all of: t5x==0.0.0 was yanked (reason: dummy) and only t5x==0.0.0 is available, and a==1.0.post1 was yanked;"
    )
    assert yanked(reason) == [("t5x", "0.0.0"), ("a", "1.0.post1")]


def test_many_ranges_are_read_as_one() -> None:
    said = "a depends on one of: b>=3.20,<4.21.0 b>4.21.0,<4.21.1 b>4.21.1,<5.0.dev0 and c depends on one of: b<1 b>=5"
    assert bounded(said) == "a depends on b>=3.20,<5.0.dev0 (but for some) and c depends on one of: b<1 b>=5"
    assert bounded("one of: b>1 b>2,<3 b>4") == "b>1 (but for some)"
    assert bounded("one of: b==1 b==2 b==3") == "one of: b==1 b==2 b==3"
