"""What uv is configured with is honoured and stands in the lock, or is refused with the reason."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, Kgen
from tests.index import Index, serving
from tests.test_lock import versions
from tests.wheelhouse import Wheel

from kgen import uvsettings
from kgen.uvsettings import SETTINGS, Treatment

CPU = (*LOCK, "numpy", "--cpu", "--dependency", "parent")
DOCS = Path(__file__).parents[1] / "docs/uv.md"


@pytest.fixture(autouse=True)
def _wheels(index: Index) -> None:
    index.wheelhouse.put(
        Wheel(name="parent", version="1.0", requires=("child",)),
        Wheel(name="parent", version="2.0rc1", requires=("child",)),
        *(Wheel(name="child", version=version) for version in ("1.0", "2.0")),
    )


def recorded(project: Path) -> list[str]:
    text = (project / "locks/numpy-cpu/pylock.linux-64.toml").read_text(encoding="utf-8")
    found: list[str] = tomli.loads(text)["tool"]["kgen"].get("uv", [])
    return found


def configure(project: Path, text: str, file: str = "uv.toml") -> None:
    (project / file).write_text(text, encoding="utf-8")


HONOURED = [
    ('constraint-dependencies = ["child<2"]', {"child": "1.0"}, ["constraint-dependencies: child<2"]),
    ('override-dependencies = ["child==1.0"]', {"child": "1.0"}, ["override-dependencies: child==1.0"]),
    ('exclude-dependencies = ["child"]', {"child": None}, ["exclude-dependencies: child"]),
    ('prerelease = "allow"', {"parent": "2.0rc1"}, ["prerelease: allow"]),
    (
        '[[dependency-metadata]]\nname = "parent"\nversion = "1.0"\nrequires-dist = ["child<2"]',
        {"child": "1.0"},
        ['dependency-metadata: {"name": "parent", "requires-dist": ["child<2"], "version": "1.0"}'],
    ),
    (
        '[exclude-newer-package]\nparent = "2030-01-01"', {"parent": "1.0"},
        ['exclude-newer-package: {"parent": "2030-01-01"}'],
    ),
    ('index-strategy = "unsafe-best-match"', {"child": "2.0"}, ["index-strategy: unsafe-best-match"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "has", "said"), HONOURED, ids=[row[0].partition(" ")[0] for row in HONOURED])
class TestHonoured:
    def test_in_the_project(
        self, kgen_alone: Kgen, project: Path, text: str, has: dict[str, str | None], said: list[str]
    ) -> None:
        configure(project, text)
        done = kgen_alone(*CPU)
        assert done.status == 0, done.stderr
        found = versions(project, "numpy-cpu")
        assert {name: found.get(name) for name in has} == has
        assert recorded(project) == said
        assert kgen_alone("check").status == 0

    def test_taken_out_again(
        self, kgen_alone: Kgen, project: Path, text: str, has: dict[str, str | None], said: list[str]
    ) -> None:
        configure(project, text)
        assert kgen_alone(*CPU).status == 0
        configure(project, "")
        checked = kgen_alone("check")
        assert checked.status == 1
        assert f"was made with `{said[0]}`, which uv is not configured with" in checked.stdout
        assert kgen_alone(*CPU).status == 0
        assert recorded(project) == []
        assert kgen_alone("check").status == 0
        assert has


@pytest.mark.parametrize("file", ["uv.toml", "pyproject.toml"])
def test_what_an_editor_of_windows_has_written(kgen_alone: Kgen, project: Path, file: str) -> None:
    """uv reads a file that begins with a byte order mark."""
    table = "[tool.uv]\r\n" if file == "pyproject.toml" else ""
    configure(project, f'\ufeff{table}constraint-dependencies = ["child<2"]\r\n', file)
    done = kgen_alone(*CPU)
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["child"] == "1.0"
    assert recorded(project) == ["constraint-dependencies: child<2"]


def test_of_another_machine(kgen_alone: Kgen, project: Path, tmp_path: Path) -> None:
    """A variable is not part of the project: it is recorded, and a colleague's `check` does not ask for it."""
    bounds = tmp_path / "bounds.txt"
    bounds.write_text("child<2  # for now\n\n", encoding="utf-8")
    assert kgen_alone(*CPU, UV_CONSTRAINT=str(bounds)).status == 0
    assert versions(project, "numpy-cpu")["child"] == "1.0"
    assert recorded(project) == ["constraint-dependencies: child<2 (of this machine)"]
    assert kgen_alone("check").status == 0
    changed = kgen_alone(*CPU)
    assert changed.stdout.rstrip().endswith("written")
    assert recorded(project) == []


def test_settings_of_uv_stand_in_pyproject_too(kgen_alone: Kgen, project: Path) -> None:
    configure(project, '[tool.uv]\nconstraint-dependencies = ["child<2"]\n', "pyproject.toml")
    assert kgen_alone(*CPU).status == 0
    assert recorded(project) == ["constraint-dependencies: child<2"]


REFUSED = [
    ('resolution = "lowest"', "UV_RESOLUTION", "lowest"),
    ("no-binary = true", None, ""),
    ('no-binary-package = ["child"]', "UV_NO_BINARY_PACKAGE", "child"),
    ('torch-backend = "cpu"', "UV_TORCH_BACKEND", "cpu"),
    ("[pip]\nno-deps = true", None, ""),
    ('[pip]\nextra = ["x"]', None, ""),
    ("[pip]\nall-extras = true", None, ""),
    ('[pip]\nno-emit-package = ["child"]', None, ""),
    ('[pip]\nno-extra = ["x"]', None, ""),
    ('[pip]\ngroup = ["x"]', None, ""),
]


@pytest.mark.parametrize(("text", "variable", "value"), REFUSED, ids=[row[0].split()[-3] for row in REFUSED])
def test_refused(kgen_alone: Kgen, project: Path, text: str, variable: str | None, value: str) -> None:
    configure(project, text)
    key = text.splitlines()[-1].partition(" ")[0]
    done = kgen_alone(*CPU)
    assert done.status == 2
    assert done.stderr.startswith(f"error: uv is configured with `{key}` (")
    assert f"hint: take `{key}` out of uv.toml" in done.stderr
    assert not (project / "locks").exists()
    if variable is not None:
        configure(project, "")
        done = replace(kgen_alone, environment={**kgen_alone.environment, variable: value})(*CPU)
        assert (done.status, f"hint: unset {variable}" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("no-sources = true", ""), ("no-sources-package = ['child']", ""), ("", "1"), ("no-sources = false", "0")],
)
def test_without_sources(kgen_alone: Kgen, project: Path, text: str, value: str) -> None:
    """uv would take what they name from an index, and kgen takes it from there: it refuses, where there are any."""
    kgen = replace(kgen_alone, environment={**kgen_alone.environment, "UV_NO_SOURCES": value})
    configure(project, f"[tool.uv]\n{text}", "pyproject.toml")
    assert kgen(*CPU).status == 0
    configure(project, f'[tool.uv]\n{text}\nsources = {{ something = {{ path = ".." }} }}', "pyproject.toml")
    done = kgen(*CPU)
    mend = "unset UV_NO_SOURCES" if value == "1" else f"take `{text.partition(' ')[0]}` out of pyproject.toml"
    assert (done.status, mend in done.stderr) == ((0, False) if value == "0" else (2, True))


@pytest.mark.parametrize("key", ["target", "prefix"])
def test_where_uv_would_install(kgen_alone: Kgen, project: Path, key: str) -> None:
    """Settings of uv may be a stranger's, as the rest of a repository: nothing is written elsewhere."""
    assert kgen_alone(*CPU).status == 0
    configure(project, f'[pip]\n{key} = "../elsewhere"\n')
    done = kgen_alone("sync", "numpy")
    assert done.status == 2
    assert (
        f"uv is configured with `{key}` (../elsewhere) in [TEMP]/project/uv.toml: it would install there" in done.stderr
    )
    assert not (project / "../elsewhere").exists()
    assert not (project / ".kgen/envs/numpy-cpu").exists()


def test_the_file_that_uv_would_write(kgen_alone: Kgen, project: Path) -> None:
    """It is the user's, who has uv compile it; kgen asks uv for other things."""
    configure(project, '[tool.uv.pip]\noutput-file = "requirements.txt"\n', "pyproject.toml")
    (project / "requirements.txt").write_text("mine\n")
    assert kgen_alone(*CPU).status == 0
    assert kgen_alone("lock", "torch", "--cpu", "--torch-index").status in {0, 4}
    assert (project / "requirements.txt").read_text() == "mine\n"


def test_what_changes_nothing_is_no_matter(kgen_alone: Kgen, project: Path) -> None:
    configure(project, 'resolution = "highest"\nno-binary-package = []\nprerelease = "if-necessary-or-explicit"\n')
    assert kgen_alone(*CPU).status == 0
    assert recorded(project) == []


class TestSources:
    def test_an_index(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        house = index.wheelhouse.copy()
        house.put(Wheel(name="parent", version="9.0"))
        with serving(house) as other:
            ours = f'[[tool.uv.index]]\nname = "ours"\nurl = "{other.url}"\nexplicit = true\n'
            configure(project, f'[tool.uv.sources]\nparent = {{ index = "ours" }}\n{ours}', "pyproject.toml")
            done = kgen_alone(*CPU)
        assert done.status == 0, done.stderr
        assert versions(project, "numpy-cpu")["parent"] == "9.0"
        assert recorded(project) == ["sources: parent from ours"]

    @pytest.mark.parametrize(
        ("row", "where"),
        [
            ('[{ git = "https://x.example/parent", marker = "os_name == \'posix\'" }]', "a repository"),
            ('[{ path = "../parent" }, { index = "x" }]', "a folder or file"),
            ('{ index = "nowhere" }', "an index that uv's configuration does not name"),
        ],
    )
    def test_what_no_lock_holds(self, kgen_alone: Kgen, project: Path, row: str, where: str) -> None:
        configure(project, f"[tool.uv.sources]\nparent = {row}\n", "pyproject.toml")
        done = kgen_alone(*CPU)
        assert done.status == 2
        assert f"numpy-cpu: uv's `sources` take parent from {where}, which kgen cannot lock" in done.stderr

    @pytest.mark.parametrize(
        ("rows", "is_ours"),
        [
            # as in uv's guide to PyTorch: the first is of other targets
            (["none = sys_platform != 'linux'", "ours = sys_platform == 'linux'"], True),
            (["none = sys_platform == 'win32'"], False),
            (["none = extra x", "ours = group y"], False),
            (["none = extra x", "ours"], True),
        ],
    )
    def test_the_row_that_is_true_of_the_target(
        self,
        kgen_alone: Kgen,
        project: Path,
        index: Index,
        rows: list[str],
        is_ours: bool,  # noqa: FBT001
    ) -> None:
        house = index.wheelhouse.copy()
        house.put(Wheel(name="parent", version="9.0"))
        written = []
        for row in rows:
            name, _, where = row.partition(" = ")
            kind, _, part = where.partition(" ")
            more = f', {kind} = "{part}"' if kind in {"extra", "group"} else f', marker = "{where}"' if where else ""
            written.append(f'{{ index = "{name}"{more} }}')
        with serving(house) as other:
            urls = {"ours": other.url, "none": "http://127.0.0.1:9/simple"}
            text = f"[tool.uv.sources]\nparent = [{', '.join(written)}]\n"
            for name, url in urls.items():
                text += f'[[tool.uv.index]]\nname = "{name}"\nurl = "{url}"\nexplicit = true\n'
            configure(project, text, "pyproject.toml")
            done = kgen_alone(*CPU)
        assert done.status == 0, done.stderr
        assert versions(project, "numpy-cpu")["parent"] == ("9.0" if is_ours else "1.0")
        assert recorded(project) == (["sources: parent from ours"] if is_ours else [])
        assert kgen_alone("check").status == 0

    def test_of_what_is_not_asked_for(self, kgen_alone: Kgen, project: Path) -> None:
        configure(project, '[tool.uv.sources]\nsomething = { path = ".." }\n', "pyproject.toml")
        assert kgen_alone(*CPU).status == 0

    def test_of_a_framework(self, kgen_alone: Kgen, project: Path) -> None:
        configure(project, '[tool.uv.sources]\nnumpy = { path = ".." }\n', "pyproject.toml")
        done = kgen_alone(*CPU)
        assert done.status == 0, done.stderr
        assert "note: uv's `sources` of numpy are not followed: the matrix decides on its builds" in done.stderr

    @pytest.mark.parametrize(
        ("place", "words", "said"),
        [
            ("whl/cpu", (), "; `--torch-index https://mirror.example/whl` takes them from there\n"),
            ("simple", (), "; see `torch-index`\n"),
            ("whl/cpu", ("--torch-index", "https://mirror.example/whl"), ""),
        ],
    )
    def test_of_pytorch_from_an_index_of_its_own(
        self, kgen_alone: Kgen, project: Path, place: str, words: tuple[str, ...], said: str
    ) -> None:
        """uv's guide to PyTorch has it so; a note names what takes the builds from there."""
        index = f'[[tool.uv.index]]\nname = "own"\nurl = "https://mirror.example/{place}"\nexplicit = true\n'
        configure(project, f'{index}[tool.uv.sources]\ntorch = {{ index = "own" }}\n', "pyproject.toml")
        done = kgen_alone("lock", "torch", "--cpu", "--python", "3.12", "--dry-run", *words)
        note = "note: uv's `sources` of torch are not followed: the matrix decides on its builds"
        assert (f"{note}{said}" in done.stderr) if said else (note not in done.stderr)


class TestEnvironments:
    def test_another_target(self, kgen_alone: Kgen, project: Path) -> None:
        configure(project, "[tool.uv]\nenvironments = [\"sys_platform == 'win32'\"]", "pyproject.toml")
        done = kgen_alone(*CPU)
        assert done.status == 2
        assert "uv's `environments` (sys_platform == 'win32') leave out linux-64" in done.stderr

    def test_this_target(self, kgen_alone: Kgen, project: Path) -> None:
        both = "environments = [\"sys_platform == 'win32'\", \"sys_platform == 'linux'\"]"
        configure(project, f"[tool.uv]\n{both}", "pyproject.toml")
        assert kgen_alone(*CPU).status == 0


class TestDay:
    NO_DAY = tuple(word for word in LOCK if word not in {"--exclude-newer", "2026-11-20"})

    @pytest.mark.parametrize(
        ("text", "day"),
        [
            ("2026-06-01", "2026-06-01"),
            ("2026-06-02T00:00:00Z", "2026-06-01"),
            ("2026-06-02T12:00:00+02:00", "2026-06-01"),
            # uv reads ISO 8601's basic form too, fractions of any length, and a moment without a zone as its day
            ("20260601", "2026-06-01"),
            ("20260602T000000Z", "2026-06-01"),
            ("2026-06-02T01:00:00.5+0200", "2026-05-31"),
            ("2026-06-01T12:00", "2026-06-01"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
            ("2026-W23-1", None),
            ("1 week", "2026-11-20"),
            ("P7D", "2026-11-20"),
            ("36 hours", "2026-11-25"),
            ("rubbish", None),
        ],
    )
    def test_the_last_whole_day(self, project: Path, text: str, day: str | None) -> None:
        configure(project, f'exclude-newer = "{text}"')
        found = uvsettings.shape(project, today=dt.date(2026, 11, 27)).day
        assert (None if found is None else str(found)) == day

    def test_it_reaches_the_solver(self, kgen_alone: Kgen, project: Path) -> None:
        newest = kgen_alone(*self.NO_DAY, "jax", "--cpu")
        assert newest.status == 0, newest.stderr
        new = versions(project, "jax-cpu")["jax"]
        configure(project, 'exclude-newer = "2026-02-01"')
        done = kgen_alone(*self.NO_DAY, "jax", "--cpu")
        assert done.status == 0, done.stderr
        assert "note: nothing published after 2026-02-01 counts, as uv's `exclude-newer` says" in done.stderr
        assert versions(project, "jax-cpu")["jax"] != new

    def test_kgens_own_day_wins(self, kgen_alone: Kgen, project: Path) -> None:
        configure(project, 'exclude-newer = "2026-02-01"')
        done = kgen_alone(*LOCK, "jax", "--cpu")
        assert "as uv's `exclude-newer` says" not in done.stderr


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_the_table_of_the_documentation(setting: uvsettings.UvSetting) -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{setting.key}` ")]
    variable = f"`{setting.variable}`" if setting.variable else ""
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == [
        f"`{setting.key}`", variable, setting.treatment.value, setting.why,
    ]  # fmt: skip


def test_every_row_is_tried() -> None:
    tried = {
        row[0].splitlines()[-1 if row[0].startswith("[pip]") else 0].strip("[]").split(" ")[0].strip("[]")
        for row in (*HONOURED, *REFUSED)
    }
    apart = {Treatment.DAY, Treatment.SOURCES, Treatment.SOURCELESS, Treatment.TARGETS}
    others = {one.key for one in SETTINGS if one.treatment in apart}
    assert tried | others == {one.key for one in SETTINGS}


def test_a_day_of_its_own_is_no_age(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """`exclude-newer-package` leaves out what came later, whether a file of uv's or its variable says so."""
    index.wheelhouse.put(
        Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0", uploaded=dt.date(2026, 10, 1))
    )
    (project / "uv.toml").write_text('exclude-newer-package = { named = "2026-09-01" }\n', encoding="utf-8")
    found = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert found.status == 0, found.stderr
    assert "named" not in found.stderr
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "named>=2")
    assert refused.status == 4
    hint = "hint: look at `exclude-newer-package` in uv's settings: of named, nothing after 2026-09-01 counts\n"
    assert hint in refused.stderr


@pytest.mark.parametrize(
    ("recorded", "days"),
    [
        ('exclude-newer-package: {"rich": "2024-01-02", "PyYAML": false}', {"rich": "2024-01-02", "pyyaml": None}),
        ('exclude-newer-package: {"rich": "2024-01-02T00:00:00Z"}', {"rich": "2024-01-01"}),
        (f"exclude-newer-package: rich=2024-01-02{uvsettings._HERE}", {"rich": "2024-01-02"}),
        ('exclude-newer-package: {"rich": "3 days"}', {"rich": "2026-10-28"}),
        ("exclude-newer-package: nonsense", {}),
        ("exclude-dependencies: rich", {}),
    ],
)
def test_days_of_packages(recorded: str, days: dict[str, str | None]) -> None:
    found = uvsettings.days_of_packages([recorded], today=dt.date(2026, 10, 31))
    assert {name: None if day is None else day.isoformat() for name, day in found.items()} == days


@pytest.mark.parametrize("key", ["constraint-dependencies", "override-dependencies"])
def test_a_bound_of_a_framework_is_one_for_the_solver(kgen_alone: Kgen, project: Path, index: Index, key: str) -> None:
    """uv resolves within it, so that only what is within it can be decided on."""
    index.wheelhouse.put(Wheel(name="keras", version="3.12.0", files={"keras/__init__.py": b""}))
    configure(project, f'{key} = ["Keras<3.12.1"]')
    done = kgen_alone(*CPU)
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["keras"] == "3.12.0"
    configure(project, f'{key} = ["keras<0.1"]')
    done = kgen_alone("solve", "numpy", "--cpu")
    assert done.status == 3
    assert "\n  you asked for keras<0.1 (uv's configuration)\n" in done.stderr


def test_an_override_of_a_library_loosens_what_a_framework_asks_for(kgen_alone: Kgen, project: Path) -> None:
    configure(project, 'override-dependencies = ["numpy<0.1"]')
    assert kgen_alone("solve", "jax", "--cpu").status == 0


class TestWorkspace:
    """uv reads the settings of a member at the root, and `sources` and their indexes in both."""

    ROOT = (
        '[tool.uv]\nconstraint-dependencies = ["child<2"]\n[tool.uv.workspace]\nmembers = ["pack*/*"]\n'
        'exclude = ["packages/out"]\n[tool.uv.sources]\na = { index = "above" }\nb = { index = "above" }\n'
        '[[tool.uv.index]]\nname = "above"\nurl = "https://above.example"\nexplicit = true\n'
    )
    MEMBER = (
        '[project]\nname = "member"\nversion = "1"\n[tool.uv]\nconstraint-dependencies = ["child<1"]\n'
        '[tool.uv.sources]\nb = { index = "own" }\n'
        '[[tool.uv.index]]\nname = "own"\nurl = "https://own.example"\nexplicit = true\n'
    )

    def shape(self, root: Path, folder: str, text: str = MEMBER) -> uvsettings.Shape:
        (root / folder).mkdir(parents=True)
        (root / "pyproject.toml").write_text(self.ROOT)
        (root / folder / "pyproject.toml").write_text(text)
        return uvsettings.shape(root / folder)

    def test_of_a_member(self, tmp_path: Path) -> None:
        found = self.shape(tmp_path, "packages/member")
        assert found.recorded == ("constraint-dependencies: child<2",)
        assert {name: (row.name, row.url) for name, (row,) in found.sources.items()} == {
            "a": ("above", "https://above.example"),
            "b": ("own", "https://own.example"),
        }
        urls = uvsettings.configured(tmp_path / "packages/member")
        assert {"https://above.example", "https://own.example"} <= set(urls)

    @pytest.mark.parametrize(
        ("folder", "text"),
        [
            ("packages/out", MEMBER),
            ("elsewhere/member", MEMBER),
            ("packages/x", MEMBER.replace("[tool.uv]", "[tool.uv]\nmanaged = false")),
        ],
    )
    def test_of_none(self, tmp_path: Path, folder: str, text: str) -> None:
        found = self.shape(tmp_path, folder, text)
        assert found.recorded == ("constraint-dependencies: child<1",)
        assert {name: row.name for name, (row,) in found.sources.items()} == {"b": "own"}

    def test_as_uv_finds_it(self, kgen_alone: Kgen, project: Path) -> None:
        """What uv resolves to is what the record says, wherever the member is."""
        for folder, text, version in (
            ("packages/member", self.MEMBER, "1.0"),
            ("elsewhere/member", self.MEMBER.replace("child<1", "child<3"), "2.0"),
        ):
            root = project / version
            self.shape(root, folder, text)
            (root / folder / "kgen.toml").write_text("project = false\n")
            member = replace(kgen_alone, folder=root / folder)
            done = member(*CPU)
            assert done.status == 0, done.stderr
            assert versions(root / folder, "numpy-cpu")["child"] == version
