"""The laws that the solver keeps whatever the matrix says, on small matrices that hypothesis makes up.

The examples are the same on each run. `KGEN_LAWS=2000 pytest tests/property` draws new ones, and so many of them.
"""

from __future__ import annotations

import datetime
import os
import random
import re

from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from tests.property import reference
from tests.property.strategies import (
    ACCELERATED,
    PLATFORMS,
    Ask,
    Model,
    Need,
    Range,
    V,
    asks,
    files,
    models,
    numbers,
    without,
)

from kgen.explain import report
from kgen.explain.causes import cause_data
from kgen.explain.commands import flags_of
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import REQUEST, TermKind
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict, Resolution
from kgen.solver import conflict as conflicts
from kgen.solver.problem import Problem
from kgen.solver.resolve import solve
from kgen.solver.search import search

_MORE = os.environ.get("KGEN_LAWS")
laws = settings(
    max_examples=int(_MORE or 120),
    derandomize=_MORE is None,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def matrix_of(model: Model, shuffle: random.Random | None = None) -> CompatibilityMatrix:
    return CompatibilityMatrix(files(model, shuffle))


def accelerator_of(ask: Ask) -> Accelerator:
    version = tuple(part for part in (ask.cuda, ask.minor) if part is not None)
    return CPU if ask.cuda is None else Accelerator("cuda", version)


def request_of(ask: Ask) -> EnvironmentRequest:
    return EnvironmentRequest(
        name="joint",
        backends=ask.backends,
        accelerator=accelerator_of(ask),
        python=ask.python,
        platform=ask.platform,
        glibc=Version(ask.glibc) if ask.glibc and ask.platform.startswith("linux") else None,
        driver=DriverVersion(ask.driver) if ask.driver else None,
        gpus=ask.gpus,
        keras=VersionRange(str(ask.keras or "")),
        requirements=tuple(Requirement(str(need)) for need in ask.requirements),
        cutoff=datetime.date.fromisoformat(ask.cutoff) if ask.cutoff else None,
    )


def answer(model: Model, ask: Ask) -> Resolution | Conflict:
    return solve(matrix_of(model), request_of(ask))


def read(version: Version) -> V:
    return V(version.major, final=not version.is_prerelease)


def taken(resolution: Resolution) -> dict[str, V]:
    return {name: read(version) for name, version in (*resolution.packages.items(), *resolution.libraries.items())}


@laws
@given(models, asks())
def test_an_answer_keeps_every_rule_and_none_is_better(model: Model, ask: Ask) -> None:
    found = answer(model, ask)
    best = reference.best(model, ask)
    event("solved" if best else "refused")
    if best is None:
        assert isinstance(found, Conflict)
        return
    versions, libraries = best
    assert isinstance(found, Resolution)
    assert {name: read(version) for name, version in found.packages.items()} == versions
    assert {name: [read(v) for v in allowed] for name, allowed in found.allowed.items()} == libraries
    assert {name: read(version) for name, version in found.libraries.items()} == {
        n: v[-1] for n, v in libraries.items()
    }
    assert len([name for name in found.libraries if name.startswith("dnn")]) <= 1
    for other, _ in reference.solutions(model, ask):
        assert other == versions or any(other[name] < version for name, version in versions.items())


@laws
@given(models, asks(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_files_does_not_matter(model: Model, ask: Ask, shuffle: random.Random) -> None:
    found, again = (solve(matrix, request_of(ask)) for matrix in (matrix_of(model), matrix_of(model, shuffle)))
    assert type(found) is type(again)
    if isinstance(found, Resolution) and isinstance(again, Resolution):
        assert report.solution_data(found) == report.solution_data(again)
        assert found.install == again.install
    elif isinstance(found, Conflict) and isinstance(again, Conflict):
        assert report.conflict_data(found) == report.conflict_data(again)


@laws
@given(
    models,
    asks(),
    st.sampled_from(["alpha", "beta", "gamma", "keras", "plain", "runtime", "nccl-cu12", "dnn-cu12"]),
    st.sampled_from([">=", "<=", "!=", "<"]),
    numbers,
)
def test_a_further_requirement_never_helps(model: Model, ask: Ask, package: str, operator: str, number: int) -> None:
    more = Need(package, Range(((operator, V(number)),)))
    found = answer(model, without(ask, requirements=(*ask.requirements, more)))
    if isinstance(found, Resolution):
        before = answer(model, ask)
        assert isinstance(before, Resolution)
        order = reference.order(ask)
        assert [before.packages[name] for name in order] >= [found.packages[name] for name in order]


@laws
@given(models, asks())
def test_a_conflict_is_one_and_each_cause_is_needed(model: Model, ask: Ask) -> None:
    request = request_of(ask)
    matrix = matrix_of(model)
    problem = Problem(matrix, request)
    found = solve(matrix, request)
    assume(isinstance(found, Conflict))
    assert isinstance(found, Conflict)
    assert found.causes
    if conflicts.without_candidates(problem) is not None:
        assert (
            reference.best(
                model, without(ask, requirements=(), keras=None, glibc="99.0", driver=None, gpus=(), cutoff=None)
            )
            is None
        )
        return
    terms = conflicts.minimal_terms(problem)
    assert search(problem, terms) is None
    for term in terms:
        assert search(problem, terms - {term}) is not None
    # of what the user asked, only what is named plays a part
    asked = [term for term in terms if term.owner == REQUEST]
    kinds = {term.kind for term in asked}
    named = {(term.kind, term.argument) for term in asked}
    texts = {term.argument for term in asked if term.kind is TermKind.REQUIREMENT}
    rest = without(
        ask,
        driver=ask.driver if TermKind.DRIVER in kinds else None,
        gpus=tuple(gpu for gpu in ask.gpus if (TermKind.GPU, gpu) in named),
        cutoff=ask.cutoff if TermKind.CUTOFF in kinds else None,
        glibc=ask.glibc if TermKind.GLIBC in kinds else "99.0",
        keras=ask.keras if f"keras{VersionRange(str(ask.keras or ''))}" in texts else None,
        requirements=tuple(need for need in ask.requirements if str(Requirement(str(need))) in texts),
    )
    assert reference.best(model, rest) is None
    for cause in found.causes:
        data = cause_data(cause, request)
        assert list(data) == ["kind", "subject", "requires", "source"]
        assert all(text.strip() for text in data.values())


@laws
@given(models, asks())
def test_every_suggestion_works_as_typed(model: Model, ask: Ask) -> None:
    found = answer(model, ask)
    assume(isinstance(found, Conflict))
    assert isinstance(found, Conflict)
    assert len({suggestion.changes for suggestion in found.suggestions}) == len(found.suggestions)
    for suggestion in found.suggestions:
        change = flags_of(suggestion.changes, found.request)
        event(re.sub(r"'.*'|[\d.]+", "X", change))
        outcomes = [[reference.best(model, one) for one in several] for several in typed(ask, change)]
        gives = [
            {name: str(version) for one in several if one for name, version in one[0].items() if name in ask.backends}
            for several in outcomes
            if all(several)
        ]
        assert dict(suggestion.gives) in gives


def typed(ask: Ask, change: str) -> list[list[Ask]]:  # noqa: PLR0911 - a way of reading each
    """What the user may mean who types the change: the environments of each reading."""
    if change.startswith("an environment for each backend"):
        return [[alone(ask, backend) for backend in ask.backends]]
    if match := re.fullmatch(r"--require '(\w[\w-]*)(\W.*)'", change):
        name, wanted = match.groups()
        operator, number = re.fullmatch(r"([<>=!]+)(\d+(?:rc1)?)", wanted).groups()  # type: ignore[union-attr]
        need = Need(name, Range(((operator, V(int(number.removesuffix("rc1")), final="rc" not in number)),)))
        return [
            [without(ask, requirements=(*ask.requirements[:position], *ask.requirements[position + 1 :], need))]
            for position, old in enumerate(ask.requirements)
            if old.package == name
        ]
    if change.startswith("dropping `--keras"):
        return [[without(ask, keras=None)]]
    if change == "dropping `--exclude-newer`":
        return [[without(ask, cutoff=None)]]
    if match := re.fullmatch(r"dropping `--gpu (.*)`", change):
        return [[without(ask, gpus=tuple(gpu for gpu in ask.gpus if gpu != match[1]))]]
    if change == "--cpu":
        return [[without(ask, cuda=None, minor=None, gpus=(), driver=None)]]
    if match := re.fullmatch(r"--cuda (\d+)", change):
        return [[without(ask, cuda=int(match[1]), minor=None)]]
    match = re.fullmatch(r"--(python|glibc|driver|platform) (\S+)", change)
    assert match, change
    assert match[1] != "platform" or match[2] in PLATFORMS
    return [[without(ask, **{match[1]: match[2]})]]


def alone(ask: Ask, backend: str) -> Ask:
    others = {*ask.backends} - {backend}
    accelerated = backend in ACCELERATED
    return without(
        ask,
        backends=(backend,),
        cuda=ask.cuda if accelerated else None,
        minor=ask.minor if accelerated else None,
        driver=ask.driver if accelerated else None,
        gpus=ask.gpus if accelerated else (),
        requirements=tuple(need for need in ask.requirements if need.package not in others),
    )


@laws
@given(models, asks(), st.data())
def test_preferred_versions_are_taken_where_they_fit(model: Model, ask: Ask, data: st.DataObject) -> None:
    matrix, request = matrix_of(model), request_of(ask)
    plain = solve(matrix, request)
    assume(isinstance(plain, Resolution) and plain.libraries)
    assert isinstance(plain, Resolution)
    preferred = {name: Version(str(data.draw(numbers, label=name))) for name in [*plain.libraries, "keras", "nobody"]}
    found = solve(matrix, request, preferred=preferred)
    assert isinstance(found, Resolution)
    assert found.packages == plain.packages
    assert found.allowed == plain.allowed
    for name, version in found.libraries.items():
        assert version == (preferred[name] if preferred[name] in plain.allowed[name] else plain.libraries[name])


@laws
@given(models, asks(), st.data())
def test_what_was_learned_is_never_answered_again(model: Model, ask: Ask, data: st.DataObject) -> None:
    matrix, request = matrix_of(model), request_of(ask)
    incompatibilities: list[frozenset[tuple[str, Version]]] = []
    preferred = {name: Version("3") for name in ("plain", "runtime", "nccl-cu12", "dnn-cu12")}
    before: Resolution | None = None
    for _ in range(4):
        found = solve(matrix, request, incompatibilities=incompatibilities, preferred=preferred)
        if not isinstance(found, Resolution):
            event(f"refused after {len(incompatibilities)}")
            assert found.causes
            assert not incompatibilities or len(found.causes) == len(incompatibilities)
            break
        versions = {**found.packages, **found.libraries}
        order = reference.order(ask)
        if before is not None:
            assert [before.packages[name] for name in order] >= [found.packages[name] for name in order]
        for incompatibility in incompatibilities:
            assert not all(versions.get(name) == version for name, version in incompatibility)
        chosen = data.draw(st.lists(st.sampled_from(sorted(versions)), min_size=1, max_size=2, unique=True))
        incompatibilities.append(frozenset((name, versions[name]) for name in chosen))
        before = found
