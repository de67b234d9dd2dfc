"""What conda calls projects of the Python index: found, chosen, refused; and what of a requirement conda cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.command import Kgen
from tests.conda_packages import MINOR, TAG, Channel

from kgen.errors import UsageError
from kgen.explain import report
from kgen.explain.commands import CommandForm
from kgen.fields import BY_NAME, lock_command
from kgen.formats.conda import condafiles
from kgen.formats.conda.names import Names, is_module
from kgen.formats.conda.rattlertool import Rattler
from kgen.formats.conda.session import CondaOutcome, CondaSession
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.parsers import CondaName, parse_conda_name

OTHER = "3.12" if MINOR != "3.12" else "3.11"
"""A Python that the channel of the tests has no builds for."""
BOTH = (
    f"--python {MINOR} --platform linux-64 --dependency lmdb --dependency kvstore"
    " --conda-name lmdb=python-lmdb --conda-name kvstore=python-kvstore"
)
THERE = ("huggingface_hub", "lmdb", "python-lmdb", "numpy", "ruamel.yaml", "ray-core", "ray-default", "python-duckdb")


@pytest.fixture(name="names")
def _names(shipped_matrix: CompatibilityMatrix) -> Names:
    return Names.of(shipped_matrix).asked(THERE)


class TestNames:
    @pytest.mark.parametrize(
        ("project", "package"),
        [
            ("torch", "pytorch"),  # kgen's own row
            ("keras", "keras"),
            ("opencv-python", "py-opencv"),  # kgen's own row over the list, which says `opencv`
            ("huggingface-hub", "huggingface_hub"),  # the list, which agrees with the channel
            ("ruamel-yaml", "ruamel.yaml"),  # the channel's spelling
            ("ray", "ray-core"),  # the list
            ("duckdb", "python-duckdb"),
            ("lmdb", "lmdb"),  # of its name, and something else: see below
            ("no-such-thing", "no-such-thing"),
        ],
    )
    def test_of_a_project(self, names: Names, project: str, package: str) -> None:
        assert names.package(project) == package

    def test_what_the_list_says_is_not_there(self, shipped_matrix: CompatibilityMatrix) -> None:
        """A channel other than conda-forge may have it under its plain name."""
        assert Names.of(shipped_matrix).asked(["duckdb"]).package("duckdb") == "duckdb"

    def test_the_settings_win(self, shipped_matrix: CompatibilityMatrix) -> None:
        names = Names.of(shipped_matrix, [CondaName("torch", "mytorch"), CondaName("lmdb", "python-lmdb")])
        assert (names.package("torch"), names.package("lmdb")) == ("mytorch", "python-lmdb")
        assert (names.is_settled("lmdb"), names.is_settled("huggingface-hub")) == (True, False)

    def test_what_else_it_may_be(self, names: Names) -> None:
        assert names.others("lmdb") == ("python-lmdb",)
        assert names.others("huggingface-hub") == ()
        # the index has a project for each build, and conda's channels one package
        assert names.others("lmdb-cuda12x") == ("lmdb",)
        assert names.others("numpy-gpu-cu118") == names.others("numpy-headless") == ("numpy",)
        assert names.others("torch-numpy-cpu-or-gpu") == ()

    def test_the_projects_of_a_package(self, shipped_matrix: CompatibilityMatrix) -> None:
        names = Names.of(shipped_matrix, [("lmdb", "python-lmdb")])
        assert names.projects("py-opencv") == {"opencv-python", "opencv-python-headless", "py-opencv"}
        assert names.projects("huggingface_hub") == {"huggingface-hub"}
        assert "lmdb" in names.projects("python-lmdb")
        assert names.projects("lmdb") == frozenset(), "the settings say that it is another"
        assert "duckdb" not in names.projects("duckdb")
        assert names.projects("pytorch") == {"torch", "pytorch"}

    def test_what_is_for_python(self) -> None:
        records: dict[str, dict[str, Any]] = {
            "lmdb": {"version": "0.9", "depends": ["libgcc >=13"]},
            "libgcc": {"version": "15", "depends": []},
            "python-lmdb": {"version": "1.6", "depends": ["python >=3.12,<3.13.0a0", "lmdb"]},
            "opencv": {"version": "4.11", "depends": ["py-opencv 4.11 x", "libgcc"]},
            "py-opencv": {"version": "4.11", "depends": ["python_abi 3.12.* *_cp312"]},
            "uv": {"version": "1", "depends": ["loop"]},
            "loop": {"version": "1", "depends": ["uv"]},
            "pure": {"version": "1", "depends": [], "noarch": "python"},
            "brings": {"version": "2", "depends": ["python-lmdb"]},
        }
        found = {name for name in records if is_module(name, records)}
        assert found == {"python-lmdb", "opencv", "py-opencv", "pure"}


class TestSetting:
    def test_parsed(self) -> None:
        assert parse_conda_name("Hugging_Face.hub=huggingface_hub") == ("hugging-face-hub", "huggingface_hub")
        for wrong in ("lmdb", "=x", "lmdb=", "lmdb=a b", "a b=c", "lmdb=x\n"):
            with pytest.raises(ValueError, match="is not"):
                parse_conda_name(wrong)

    def test_one_value_for_a_name(self, matrix: CompatibilityMatrix) -> None:
        field = BY_NAME["conda_names"]
        assert field.from_flag(["a=b", "a=b", "c=d"], matrix) == (("a", "b"), ("c", "d"))
        with pytest.raises(UsageError, match="gives a two values: b and c"):
            field.from_flag(["a=b", "a=c"], matrix)

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("conda-names = 3", "conda-names"),
            ("conda-names = { lmdb = 3 }", "conda-names.lmdb"),
            ('conda-names = { "a b" = "c" }', "is not the name of a package"),
            ('conda-names = { lmdb = "a b" }', "is not the name of a conda package"),
        ],
    )
    def test_wrong(self, kgen: Kgen, project: Path, text: str, what: str) -> None:
        (project / "kgen.toml").write_text(text + "\n")
        result = kgen("solve", "numpy")
        assert result.status == 2
        assert what in result.stderr


@pytest.fixture(name="grown", scope="module")
def _grown(built: Channel, tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel with names that mislead."""
    channel = built.copy(tmp_path_factory.mktemp("names") / "channel")
    python = ["python", f"python_abi {MINOR}.* *_cp{MINOR.replace('.', '')}"]
    channel.add("lmdb", "0.9.31", "h0_0", depends=["__glibc >=2.17"])
    channel.add("python-lmdb", "1.6.2", f"{TAG}_0", depends=[*python, "lmdb"])
    channel.add("kvstore", "2.0", "h0_0")
    channel.add("python-kvstore", "1.1.0", f"{TAG}_0", depends=[*python, "kvstore"])
    channel.add("huggingface_hub", "0.30.0", subdir="noarch", depends=["python"])
    channel.add("ruamel.yaml", "0.18.0", f"{TAG}_0", depends=python)
    channel.add("ray-core", "2.40.0", f"{TAG}_0", depends=python)
    channel.add("ray-default", "2.40.0", f"{TAG}_0", depends=[*python, "ray-core 2.40.0"])
    channel.add("pandas", "2.2.0", f"{TAG}_0", depends=[*python, "numpy"])
    channel.add("numpy", "1.26.4", f"{TAG}_0", depends=python)
    channel.add("clib", "1.0", "h0_0")
    channel.add("of-old", "1.0", f"{TAG}_0", depends=python, constrains=["jaxlib <0.9"])
    # a build of old for an old driver
    needs = ["python", "numpy", "__cuda", "cuda-version >=12.1,<12.3", "libcudnn >=9.10,<10.0a0"]
    channel.add("jaxlib", "0.4.28", f"cuda120_{TAG}_200", depends=needs)
    channel.add("jax", "0.4.28", "pyhd_0", subdir="noarch", depends=["python", "jaxlib >=0.4.28,<=0.4.28"])
    channel.add("keras", "3.10.0", subdir="noarch", depends=["python >=3.9"])
    channel.add("cuda-version", "12.2", "h0_3", subdir="noarch", constrains=["__cuda >=12"])
    # the newest, for an old driver as well
    needs = ["python", "numpy", "__cuda", "cuda-version >=12.6,<13", "libcudnn >=9.10,<10.0a0"]
    channel.add("pytorch", "2.12.0", f"cuda126_{TAG}_200", depends=needs)
    channel.index()
    return channel


Opened = Callable[..., CondaSession]


@pytest.fixture(name="opened")
def _opened(grown: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path) -> Opened:
    rattler = Rattler(tmp_path / "cache")

    def opened(**chosen: str) -> CondaSession:
        return CondaSession(shipped_matrix, [grown.folder.as_uri()], lambda: rattler, chosen=tuple(chosen.items()))

    return opened


def ask(*dependencies: str, **more: Any) -> EnvironmentRequest:  # noqa: ANN401
    return EnvironmentRequest(
        name="jax",
        backends=("jax",),
        accelerator=more.pop("accelerator", CPU),
        python=more.pop("python", MINOR),
        platform="linux-64",
        dependencies=tuple(map(parse_requirement, dependencies)),
        **more,
    )


def versions(outcome: CondaOutcome) -> Mapping[str, str]:
    assert outcome.lock is not None, outcome
    return outcome.lock.versions


class TestLocked:
    @pytest.mark.parametrize(
        ("project", "package"),
        [("huggingface-hub>=0.2", "huggingface_hub"), ("Ruamel.Yaml", "ruamel.yaml"), ("ray", "ray-core")],
    )
    def test_as_the_channel_spells_it(self, opened: Opened, project: str, package: str) -> None:
        outcome = opened().full(ask(project))
        assert package in versions(outcome)
        assert outcome.notes == []

    def test_a_package_that_is_none_for_python_is_refused(self, opened: Opened, grown: Channel) -> None:
        request = ask("lmdb")
        outcome = opened().full(request)
        assert outcome.lock is None
        assert outcome.conflict is not None
        assert report.conflict_text(outcome.conflict) == (
            f"jax-cpu: {grown.folder.as_uri()} has no packages for this on linux-64\n"
            "  you asked for lmdb (dependencies)\n"
            "  lmdb 0.9.31 is not a Python package"
        )
        form = CommandForm(lock_command, {"conda_names": (CondaName("a", "b"),)})
        assert report.hints(outcome.conflict, form)[0] == (
            f"kgen lock jax --cpu --python {MINOR} --platform linux-64 --dependency lmdb --conda-name a=b --conda-name"
            " lmdb=python-lmdb   # gives jax 0.9.2, keras 3.15.0"
        )
        # and what the hint says works
        found = versions(opened(lmdb="python-lmdb").full(request))
        assert (found["python-lmdb"], found["lmdb"]) == ("1.6.2", "0.9.31")

    @pytest.mark.parametrize(
        ("dependencies", "python", "flags"),
        [
            # the channel has builds for one Python only
            (("lmdb",), OTHER, f"--python {MINOR} --platform linux-64 --dependency lmdb --conda-name lmdb=python-lmdb"),
            (("lmdb", "kvstore"), MINOR, BOTH),
            (("lmdb", "kvstore"), OTHER, BOTH),
        ],
    )
    def test_a_name_beside_something_else(
        self, opened: Opened, dependencies: tuple[str, ...], python: str, flags: str
    ) -> None:
        """What works is one hint, with all that has to change."""
        outcome = opened().full(ask(*dependencies, python=python))
        assert outcome.conflict is not None
        found = [hint.partition("   #")[0] for hint in report.hints(outcome.conflict, CommandForm(lock_command, {}))]
        assert f"kgen lock jax --cpu {flags}" in found
        chosen = {name: f"python-{name}" for name in dependencies}
        assert set(chosen.values()) <= versions(opened(**chosen).full(ask(*dependencies))).keys()

    def test_without_another_name_nothing_is_guessed(self, opened: Opened) -> None:
        outcome = opened().full(ask("clib"))
        assert outcome.conflict is not None
        assert not [one for one in report.hints(outcome.conflict) if "conda-name" in one]

    def test_who_names_a_package_means_it(self, opened: Opened) -> None:
        assert versions(opened(clib="clib").full(ask("clib")))["clib"] == "1.0"


class TestWhatCondaCannotSay:
    def test_an_extra_that_is_a_package(self, opened: Opened) -> None:
        outcome = opened().full(ask("ray[default]>=2"))
        assert {"ray-core", "ray-default"} <= versions(outcome).keys()
        assert outcome.notes == []
        assert "ray-default >=2" in condafiles_specs(outcome)

    def test_an_extra_that_is_none(self, opened: Opened) -> None:
        outcome = opened().full(ask("pandas[performance,aws]"))
        assert "pandas" in versions(outcome)
        (note,) = outcome.notes
        assert note == (
            "jax-cpu: conda has no extras, and no package for `pandas[aws]`, `pandas[performance]`: pandas comes"
            " without what that needs; name it in `dependencies`"
        )

    @pytest.mark.parametrize(
        ("extra", "cuda", "said"),
        [
            ("cuda12", "12", []),
            ("cuda13", "12", ["jax-cuda12: jax[cuda13] is taken without `cuda13`, which brings CUDA 13"]),
            (
                "cuda12,k8s",
                "12",
                [
                    (
                        "jax-cuda12: conda has no extras, and no package for `jax[k8s]`: jax comes without what that"
                        " needs; name it in `dependencies`"
                    )
                ],
            ),
        ],
    )
    def test_an_extra_that_brings_an_accelerator(self, opened: Opened, extra: str, cuda: str, said: list[str]) -> None:
        """The build that is asked for brings it."""
        outcome = opened().full(ask(f"jax[{extra}]", accelerator=Accelerator.numbered("cuda", cuda)))
        assert outcome.lock is not None
        assert outcome.notes == said

    def test_a_marker_that_does_not_hold(self, opened: Opened) -> None:
        outcome = opened().full(ask("pandas[aws]; sys_platform == 'win32'"))
        assert "pandas" not in versions(outcome)
        assert outcome.notes == []

    @pytest.mark.parametrize(
        ("marker", "holds"),
        [
            ("implementation_name == 'cpython'", True),
            ("implementation_name == 'pypy'", False),
            ("platform_python_implementation == 'PyPy'", False),
            ("platform_release != ''", False),  # the kernel of this machine says nothing about a target
        ],
    )
    def test_every_variable_of_a_marker_is_the_targets(self, opened: Opened, marker: str, *, holds: bool) -> None:
        assert ("pandas" in versions(opened().full(ask(f"pandas; {marker}")))) is holds

    def test_a_local_label(self, opened: Opened) -> None:
        outcome = opened().full(ask("pandas==2.2.0+local"))
        assert versions(outcome)["pandas"] == "2.2.0"
        assert outcome.notes == [
            "jax-cpu: `pandas==2.2.0+local`: conda's builds have no local label, 2.2.0+local is taken without it"
        ]

    def test_a_wheel_of_the_accelerators(self, opened: Opened) -> None:
        outcome = opened().full(ask("nvidia-cudnn-cu12>=9", accelerator=Accelerator.numbered("cuda", "12")))
        assert outcome.lock is not None
        (note,) = outcome.notes
        assert note == (
            "jax-cuda12: `nvidia-cudnn-cu12>=9` is left out: it asks for a wheel of the accelerator's own libraries,"
            " and conda's builds bring theirs"
        )

    def test_constraints_hold_and_bring_nothing_in(self, opened: Opened) -> None:
        constraints = tuple(map(parse_requirement, ("numpy<2", "pandas<2", "no-such-thing==1")))
        found = versions(opened().full(ask(constraints=constraints)))
        assert found["numpy"] == "1.26.4"
        assert "pandas" not in found

    def test_a_constraint_that_excludes_all(self, opened: Opened) -> None:
        outcome = opened().full(ask("pandas>=2", constraints=(parse_requirement("pandas<2"),)))
        assert outcome.conflict is not None
        text = report.conflict_text(outcome.conflict)
        assert "you asked for pandas <2 (--constraints)" in text
        assert "you asked for pandas >=2 (dependencies)" in text

    def test_what_costs_a_newer_framework(self, opened: Opened) -> None:
        """Of what is asked for, what does so is named."""
        asked = {"accelerator": Accelerator.numbered("cuda", "12")}
        outcome = opened().full(ask("pandas", "of-old", **asked))
        assert versions(outcome)["jaxlib"] == "0.4.28"
        assert outcome.notes == [
            "jax-cuda12: conda has jaxlib 0.4.28 instead of 0.9.2, keras 3.10.0 instead of 3.15.0 for of-old"
        ]
        outcome = opened().full(ask("pandas>=2", constraints=(parse_requirement("of-old"),), **asked))
        assert versions(outcome)["jaxlib"] == "0.9.2"
        assert outcome.notes == []

    def test_what_the_lock_keeps_older(
        self, opened: Opened, grown: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path
    ) -> None:
        request = ask("of-old", accelerator=Accelerator.numbered("cuda", "12"))
        before = opened().full(request).lock
        assert before is not None
        rattler = Rattler(tmp_path / "cache")
        session = CondaSession(
            shipped_matrix, [grown.folder.as_uri()], lambda: rattler, locked=lambda _request: before.records
        )
        outcome = session.full(request._replace(dependencies=()))
        assert versions(outcome)["jaxlib"] == "0.4.28"
        (note,) = outcome.notes
        assert note.startswith("jax-cuda12: conda keeps jaxlib 0.4.28 (0.9.2 is there)")
        assert "`kgen lock --upgrade` takes the newest" in note

    def test_another_platform_works(self, opened: Opened) -> None:
        outcome = opened().full(ask("pandas")._replace(platform="linux-aarch64"))
        assert outcome.conflict is not None
        assert report.hints(outcome.conflict, CommandForm(lock_command, {}))[0] == (
            f"kgen lock jax --cpu --python {MINOR} --platform linux-64 --dependency pandas"
            "   # gives jax 0.9.2, keras 3.15.0"
        )

    def test_a_driver_costs_no_years(self, opened: Opened) -> None:
        """Code for a newer minor runs on an older driver of the same major; what it would cost is told."""
        asked = ask(accelerator=Accelerator.numbered("cuda", "12"), driver=DriverVersion("535.183"))
        outcome = opened().full(asked)
        assert (versions(outcome)["jaxlib"], versions(outcome)["keras"]) == ("0.9.2", "3.15.0")
        (note,) = outcome.notes
        assert note == (
            "jax-cuda12: conda's builds bring CUDA 12.9, newer than driver 535.183 (CUDA 12.2): minor-version"
            " compatibility, code that is compiled at run time needs a newer driver; `--cuda 12.2` gives jaxlib 0.4.28,"
            " keras 3.10.0"
        )
        fitting = opened().full(asked._replace(name="torch", backends=("torch",), driver=DriverVersion("560.35")))
        assert (versions(fitting)["pytorch"], versions(fitting)["cuda-version"]) == ("2.12.0", "12.6")
        assert fitting.notes == []
        older = opened().full(asked._replace(accelerator=Accelerator.numbered("cuda", "12.2")))
        assert versions(older)["jaxlib"] == "0.4.28"


def condafiles_specs(outcome: CondaOutcome) -> tuple[str, ...]:
    assert outcome.lock is not None
    return outcome.lock.target.query().specs


def test_in_the_lock(conda: Kgen, project: Path, grown: Channel) -> None:
    """The names stand in the records, and other names are another request."""
    words = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "numpy", "--cpu")
    more = ("--channel", grown.folder.as_uri(), "--dependency", "six")
    (project / "kgen.toml").write_text('conda-names = { six = "huggingface_hub" }\n')
    result = conda(*words, *more)
    assert result.status == 0, result.stderr
    path = project / "locks/numpy-cpu/conda-records.json"
    assert json.loads(path.read_text())["names"] == {"six": "huggingface_hub"}
    file = condafiles.read(path)
    assert "huggingface_hub" in {one["name"] for one in file.platforms["linux-64"].packages}
    result = conda(*words, *more, "--conda-name", "six=ruamel.yaml")
    assert result.status == 0, result.stderr
    names = {one["name"] for one in condafiles.read(path).platforms["linux-64"].packages}
    assert ("ruamel.yaml" in names, "huggingface_hub" in names) == (True, False)
