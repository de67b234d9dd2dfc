"""What can be asked is declared once: a request comes back from a lock, and from the command that asks for it."""

from __future__ import annotations

import datetime as dt
import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from kgen import fields, resources
from kgen.actions import environment_request, plan
from kgen.cli import main
from kgen.cli.request import flags_from
from kgen.fields import ACCELERATORS, FIELDS, Scope, Shape, accelerator_words
from kgen.matrix.compatibility import CompatibilityMatrix, load
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.settings import JointEnvironment, Settings

MATRIX = load(resources.folder("matrix"))
BACKENDS = ("tensorflow", "jax", "torch")
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests run beside it

accelerators = st.sampled_from(
    [
        CPU,
        *(Accelerator("cuda", (major,)) for major in (11, 12, 13)),
        Accelerator("cuda", (12, 6)),
        Accelerator("cuda", (13, 0)),
        Accelerator("rocm", (7,)),
    ]
)
DRIVERS = {"cuda": "535.183.01", "rocm": "6.16.6"}
ARCHITECTURES = {"cuda": ["8.0", "9.0"], "rocm": ["gfx90a", "gfx942"]}
requirements = st.lists(
    st.sampled_from(["torch==2.6.0", "jax>=0.4,<1", "numpy<3", "keras>=3.5"]), unique=True, max_size=3
).map(lambda texts: tuple(map(parse_requirement, sorted(texts))))
dependencies = st.lists(
    st.sampled_from(
        ["scikit-learn>=1.5", "flax[all]", "pandas; python_version < '3.13'", "a.b_c", "optax!=0.2.1,>=0.2"]
    ),
    unique=True,
    max_size=4,
).map(lambda texts: tuple(sorted(map(parse_requirement, texts), key=str)))


@st.composite
def requests(draw: st.DrawFn) -> EnvironmentRequest:
    backends = tuple(draw(st.lists(st.sampled_from(BACKENDS), min_size=1, max_size=3, unique=True)))
    accelerator = draw(accelerators)
    return EnvironmentRequest(
        name=backends[0] if len(backends) == 1 else draw(st.sampled_from(["all", "two-in-one"])),
        backends=backends,
        accelerator=accelerator,
        python=draw(st.sampled_from(["3.11", "3.12"])),
        platform=draw(st.sampled_from(["linux-64", "linux-aarch64"])),
        glibc=draw(st.none() | st.sampled_from([Version("2.17"), Version("2.28")])),
        driver=None
        if accelerator == CPU
        else draw(st.none() | st.builds(DriverVersion, st.just(DRIVERS[accelerator.kind]))),
        gpus=() if accelerator == CPU else tuple(draw(st.sets(st.sampled_from(ARCHITECTURES[accelerator.kind])))),
        keras=draw(st.sampled_from([VersionRange(), VersionRange(">=3.10"), VersionRange("<4,>=3.5")])),
        requirements=draw(requirements),
        dependencies=draw(dependencies),
        cutoff=draw(st.none() | st.dates(dt.date(2025, 1, 1), dt.date(2026, 11, 1))),
        isolated=draw(st.booleans()),
        own_index=draw(st.booleans()),
    )


@patient
@given(request=requests())
def test_a_request_comes_back_from_a_lock(request: EnvironmentRequest) -> None:
    data = fields.lock_data(request)
    assert fields.request_of(data) == request
    assert not any(value in (None, (), [], "") for value in data.values())


@patient
@given(request=requests())
def test_a_request_comes_back_from_the_command_that_asks_for_it(
    request: EnvironmentRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = fields.lock_command(fields.request_of(fields.lock_data(request)))
    words = shlex.split(command)[1:]
    parsed = main.parse(words)
    folder = tmp_path_factory.getbasetemp()
    planned = plan.make(flags_from(parsed.command, parsed.parameters), MATRIX, folder)
    (asked,) = planned.requests
    concerned = _concerned(request, planned.settings)
    assert asked._replace(python_open=False) == concerned


def _concerned(request: EnvironmentRequest, settings: Settings) -> EnvironmentRequest:
    """The request as planning leaves it: requirements on other backends' frameworks are not the environment's."""
    joint = JointEnvironment(name=request.name, backends=request.backends)
    return environment_request.request_for(joint, settings, request.accelerator, request.platform, MATRIX)._replace(
        dependencies=request.dependencies, keras=request.keras, cutoff=request.cutoff
    )


@patient
@given(one=requests(), other=requests())
def test_what_differs_is_named_by_its_key(one: EnvironmentRequest, other: EnvironmentRequest) -> None:
    keys = fields.differing(one, other)
    assert bool(keys) == (one._replace(name="") != other._replace(name=""))


@pytest.mark.parametrize("field", [field for field in FIELDS if field.example], ids=lambda field: field.name)
def test_the_example_of_a_field_is_one(field: fields.Field, matrix: CompatibilityMatrix) -> None:
    value = field.from_flag([field.example] if field.shape is Shape.MANY else field.example, matrix)
    words = list(accelerator_words(value) if isinstance(value, Accelerator) else field.typed(value))
    assert words in ([], [field.flag], [field.flag, field.example])
    assert words or value == field.initial


def test_every_field_is_an_attribute_of_the_settings() -> None:
    own = [field for field in FIELDS if field not in ACCELERATORS]
    assert {field.name for field in own} <= set(Settings._fields)
    for field in own:
        if field.key is not None and field.name in Settings._field_defaults:
            assert Settings._field_defaults[field.name] == field.initial, field.name
    beside = {"root", "file", "accelerator", "backend_dependencies", "environments", "described", "envs", "required"}
    assert set(Settings._fields) - {field.name for field in own} == beside


def test_what_shapes_a_lock_is_an_attribute_of_the_request() -> None:
    """All of a request is in its lock, but for what only matters while it is solved, is in its name, or is found out.

    Which frameworks dependencies bring along (`members`) the first closing tells; what was seen to train, or what a
    newer release does not fit (`recorded`), is in the lock as the reason of a version.
    """
    passing = {"name", "python_named", "python_open", "held", "as_of", "members", "cpu_members", "recorded"}
    assert {entry.attribute for _, entry in fields.LOCKED} == set(EnvironmentRequest._fields) - passing


def test_flags_are_words_that_nobody_else_has() -> None:
    flags = [field.flag for field in FIELDS if field.flag is not None]
    assert len(flags) == len(set(flags))
    assert all(field.scope is not Scope.NONE for field in FIELDS if field.flag is not None)
