"""Ranges and requirements are what `packaging` says they are."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import packaging.requirements
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement, canonical_name

NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
SUFFIX = st.sampled_from(["", "", "", "a1", "rc1", ".dev0", ".post1", "rc1.post2.dev3"])
EPOCH = st.sampled_from(["", "", "", "1!"])
PUBLIC = st.builds("".join, st.tuples(EPOCH, NUMBERS, SUFFIX))
VERSIONS = st.builds("".join, st.tuples(PUBLIC, st.sampled_from(["", "", "+cu126", "+cpu.1"])))
OPERATORS = st.sampled_from(["==", "!=", ">=", "<=", "<", ">", "~=", "===", "=", ""])
BOUNDS = st.builds("".join, st.tuples(VERSIONS, st.sampled_from(["", "", ".*"])))
COMPARISONS = st.builds("{}{}{}".format, OPERATORS, st.sampled_from(["", " "]), BOUNDS)
RANGES = st.lists(COMPARISONS, max_size=3).map(",".join)


@settings(max_examples=1500)
@given(text=RANGES, versions=st.lists(VERSIONS, min_size=1, max_size=8))
def test_a_range_holds_what_packaging_says(text: str, versions: list[str]) -> None:
    try:
        theirs = SpecifierSet(text)
    except InvalidSpecifier:
        with pytest.raises(ValueError, match="Invalid specifier"):
            VersionRange(text)
        return
    ours = VersionRange(text)
    if len(theirs) == len({part.strip() for part in text.split(",") if part.strip()}):
        # of `==0` and `==0.0` packaging keeps one or the other
        assert str(ours) == str(theirs)
    assert bool(ours) == bool(str(theirs))
    for version in map(Version, versions):
        assert (version in ours) == theirs.contains(version, prereleases=True), (str(theirs), str(version))


def test_ranges_that_are_near_their_bounds() -> None:
    """Small enough to be put to both in every combination, which chance may not think of."""
    suffixes = ("", ".0", "a1", ".dev0", ".post1", "+local", ".1")
    versions = [Version(f"1.{minor}{suffix}") for minor in (0, 1, 2) for suffix in suffixes]
    bounds = ["1", "1.0", "1.1", "1.1.0", "1.1a1", "1.1.dev0", "1.1.post1", "1.1.*", "1.*", "0!1.1", "1.1+local"]
    for operator, bound in itertools.product(("==", "!=", ">=", "<=", "<", ">", "~="), bounds):
        try:
            theirs = SpecifierSet(operator + bound)
        except InvalidSpecifier:
            continue
        for version in versions:
            assert (version in VersionRange(operator + bound)) == theirs.contains(version, prereleases=True)


NAMES = st.sampled_from(["torch", "Flax_NNX", "nvidia-cudnn-cu12", "ruamel.yaml", "x", "-bad", "a b"])
EXTRAS = st.sampled_from(["", "", "[cuda12]", "[B,a]", "[ a , b ]", "[]", "[a"])
CLAUSES = st.sampled_from(
    [
        "python_version < '3.13'",
        'python_version>="3.10"',
        "python_full_version == '3.12.*'",
        'platform_system == "Linux"',
        "sys_platform != 'win32'",
        "platform_machine == 'x86_64'",
        "'linux' in sys_platform",
        "extra == 'Test_It'",
        "platform_system == '1.0'",
        "python_version == 'x'",
        "os_name",
    ]
)
MARKERS = st.one_of(
    st.just(""),
    st.lists(CLAUSES, min_size=1, max_size=3).map(lambda clauses: ";" + " and ".join(clauses)),
    st.lists(CLAUSES, min_size=2, max_size=2).map(lambda clauses: " ; (" + " or ".join(clauses) + ")"),
)
ENVIRONMENTS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_system": system,
        "sys_platform": "linux" if system == "Linux" else "win32",
        "platform_machine": machine,
        "os_name": "posix" if system == "Linux" else "nt",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    for python in ("3.9", "3.12", "3.13")
    for system in ("Linux", "Windows")
    for machine in ("x86_64", "aarch64")
]


@settings(max_examples=1500)
@given(text=st.builds("".join, st.tuples(NAMES, EXTRAS, RANGES, MARKERS)))
def test_a_requirement_says_what_packaging_says(text: str) -> None:
    try:
        theirs = packaging.requirements.Requirement(text)
    except packaging.requirements.InvalidRequirement:
        with pytest.raises(ValueError, match="is not a requirement"):
            Requirement(text)
        return
    theirs.name = canonicalize_name(theirs.name)
    ours = Requirement(text)
    assert str(ours) == str(theirs)
    assert (ours.name, ours.extras, ours.url) == (theirs.name, frozenset(theirs.extras), theirs.url)
    assert (ours.marker is None) == (theirs.marker is None)
    if ours.marker is not None and theirs.marker is not None:
        for environment in ENVIRONMENTS:
            assert ours.marker.evaluate(environment) == theirs.marker.evaluate(dict(environment))


@pytest.mark.parametrize("text", ["x @ https://host.test/x-1.whl", "x @ https://host.test/x.whl ; os_name == 'nt'"])
def test_a_url_is_kept(text: str) -> None:
    assert str(Requirement(text)) == str(packaging.requirements.Requirement(text))


@given(name=st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True))
def test_a_name_is_normalised_as_indexes_do(name: str) -> None:
    assert canonical_name(name) == canonicalize_name(name)


def test_every_requirement_of_the_matrix_is_read_as_packaging_reads_it(matrix: CompatibilityMatrix) -> None:
    builds = [
        build
        for name in matrix.framework_names
        for release in matrix.framework(name).releases
        for build in release.builds
    ]
    texts = {text for build in builds for text in (*build.install, *build.requires, *build.adds)}
    texts |= {text for toolkit in matrix.toolkits for several in toolkit.extras.values() for text in several}
    assert len(texts) > 500
    for text in sorted(texts):
        ours, theirs = Requirement(text), packaging.requirements.Requirement(text)
        assert str(ours) == str(theirs)
        if ours.marker is not None:
            assert [ours.marker.evaluate(one) for one in ENVIRONMENTS] == [
                Marker(str(theirs.marker)).evaluate(dict(one)) for one in ENVIRONMENTS
            ]


def test_a_question_about_the_matrix_needs_no_slow_import(tmp_path: Path) -> None:
    """What the readers of ranges and requirements are for: if a row of the matrix is not plain, this tells."""
    program = (
        "import sys; from kgen.cli.main import run; run(sys.argv[1:]);"
        "slow = ('packaging.requirements', 'packaging.specifiers', 'pydantic', 'rich');"
        "print(*(name for name in slow if name in sys.modules))"
    )
    for call in (
        ["torch", "--cuda", "12"],
        ["tensorflow", "jax", "torch", "--together", "all", "--cuda", "12", "--require", "tensorflow==2.21.0"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, "solve", *call, "--python", "3.12"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        assert done.stdout.splitlines()[-1] == "", done.stdout
