from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version

from kgen import accelerators, host, parsers, project, settings
from kgen.errors import ExitStatus, OutsideError, SettingsError, UsageError
from kgen.matrix import compatibility
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement
from kgen.parsers import CondaName
from kgen.settings import JointEnvironment, Settings

MATRIX = compatibility.load(Path(__file__).parents[1] / "matrix")
# The matrix grows; what the messages are built of does not.
BACKENDS = ", ".join(MATRIX.short_names)
PLATFORMS = ", ".join(MATRIX.platforms)
PYTHONS = ", ".join(row.version for row in MATRIX.pythons)
CUDAS = ", ".join(str(major) for major in sorted(MATRIX.majors("cuda")))


@pytest.fixture(scope="module")
def matrix() -> CompatibilityMatrix:
    return MATRIX


def write(folder: Path, text: str, name: str = "kgen.toml") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


FULL = """
backends = ["tensorflow", "jax"]
cuda = "12.6"
cpu = false
python = "3.12"
platforms = ["linux-64", "linux-aarch64"]
keras = ">=3.10"
dependencies = ["Scikit_Learn>=1.5"]
portable = true
installers = ["uv", "conda"]
channels = ["conda-forge", "https://conda.example/main"]
conda = "base"
conda-names = {{ LMDB = "python-lmdb" }}
glibc = "2.28"
macos = "14"
driver = "535.183"
gpu = ["8.0", "sm_90a"]
require = ["torch==2.6.0"]
exclude-newer = "2026-11-20"
{0}
[backend.jax]
dependencies = ["optax"]
[{1}environment.all]
backends = ["tensorflow", "jax", "torch"]
dependencies = ["rich"]
"""


def test_every_key(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    file = write(tmp_path, FULL.format("", ""))
    assert settings.read(tmp_path, matrix) == Settings(
        root=tmp_path,
        file=file,
        backends=("tensorflow", "jax"),
        accelerator=Accelerator("cuda", (12, 6)),
        python="3.12",
        platforms=("linux-64", "linux-aarch64"),
        keras=VersionRange(">=3.10"),
        dependencies=(Requirement("scikit-learn>=1.5"),),
        portable=True,
        installers=("uv", "conda"),
        channels=("conda-forge", "https://conda.example/main"),
        conda="base",
        conda_names=(CondaName("lmdb", "python-lmdb"),),
        glibc=Version("2.28"),
        macos=Version("14"),
        driver=DriverVersion("535.183"),
        gpu=("8.0", "9.0"),
        require=(Requirement("torch==2.6.0"),),
        exclude_newer=dt.date(2026, 11, 20),
        backend_dependencies={"jax": (Requirement("optax"),)},
        environments={
            "all": JointEnvironment(
                name="all", backends=("tensorflow", "jax", "torch"), dependencies=(Requirement("rich"),)
            )
        },
    )


def test_both_files_say_the_same(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", FULL.format("", ""))
    text = "[project]\nname = 'x'\n[tool.kgen]" + FULL.format("", "tool.kgen.").replace(
        "[backend", "[tool.kgen.backend"
    )
    write(tmp_path / "b", text, "pyproject.toml")
    one, other = settings.read(tmp_path / "a", matrix), settings.read(tmp_path / "b", matrix)
    assert other.file == tmp_path / "b" / "pyproject.toml"
    assert other._replace(root=one.root, file=one.file) == one


@pytest.mark.parametrize("text", [None, "[project]\nname = 'x'\n", "[tool.other]\nx = 1\n", "tool = 3\n"])
def test_no_settings(tmp_path: Path, matrix: CompatibilityMatrix, text: str | None) -> None:
    if text is not None:
        write(tmp_path, text, "pyproject.toml")
    assert settings.read(tmp_path, matrix) == Settings(root=tmp_path)
    assert project.locate(tmp_path) is None


@pytest.mark.parametrize(("name", "text"), [("kgen.toml", ""), ("pyproject.toml", "[tool.kgen]")])
def test_empty_settings_are_settings(tmp_path: Path, matrix: CompatibilityMatrix, name: str, text: str) -> None:
    file = write(tmp_path, "\ufeff" + text, name)
    assert settings.read(tmp_path, matrix) == Settings(root=tmp_path, file=file)
    assert project.locate(tmp_path) == file


def test_defaults() -> None:
    default = Settings(root=Path())
    assert default.installers == ("uv",)
    assert default.channels == ("conda-forge",)
    assert str(default.keras) == ""


def test_two_files(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    own = write(tmp_path, "")
    project = write(tmp_path, "[tool.kgen]\n", "pyproject.toml")
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == (
        f"there are settings in {own} and in [tool.kgen] of {project}; kgen reads one of the two"
    )
    assert caught.value.hints == ("remove [tool.kgen] from pyproject.toml, or remove kgen.toml",)
    assert caught.value.status is ExitStatus.USAGE


CREDENTIALS = (
    "holds credentials, which a lock would carry on; name it without them, and log in with `rattler auth login`, a"
    " netrc file or conda's own settings"
)
NVIDIA_SMI = "`nvidia-smi --query-gpu=name,compute_cap --format=csv` prints that of a GPU"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('cudda = "12"', "cudda: unknown key; did you mean `cuda`?"),
        ("exclude_newer = 1", "exclude_newer: unknown key; did you mean `exclude-newer`?"),
        ("xyzzy = 1", "xyzzy: unknown key"),
        ("[tool.kgen]", "tool: in kgen.toml the keys stand at the top, in no table `tool.kgen`"),
        (
            'backends = ["jxa"]',
            f"backends[0]: unknown backend `jxa`; did you mean `jax`? Known are {BACKENDS}",
        ),
        ('backends = ["mlx9"]', f"backends[0]: unknown backend `mlx9`; known are {BACKENDS}"),
        ('backends = ["JAX"]', f"backends[0]: unknown backend `JAX`; did you mean `jax`? Known are {BACKENDS}"),
        ('CUDA = "12"', "CUDA: unknown key; did you mean `cuda`?"),
        (
            'target = { a = { cuda = "12", gpu = "A100" } }',
            'target.a.gpu: should be an array, is text; put brackets around it: ["A100"]',
        ),
        ('backends = ["jax", "torch", "jax"]', "backends: `jax` is in it twice"),
        ("backends = []", "backends: is empty"),
        ('backends = "jax"', 'backends: should be an array, is text; put brackets around it: ["jax"]'),
        ("backends = [['jax']]", "backends[0]: should be text, is an array"),
        ("backends = {}", "backends: should be an array, is a table"),
        ("cuda = 12", "cuda: should be text, is a whole number; put quotes around it"),
        ("cuda = 12.6", "cuda: should be text, is a number; put quotes around it"),
        ("cuda = true", "cuda: should be text, is true or false"),
        (
            'cuda = "cuda12"',
            "cuda: `cuda12` is not a version of CUDA; did you mean `12`?",
        ),
        (
            'cuda = "12.6.1"',
            "cuda: `12.6.1` is not a version of CUDA; did you mean `12.6`?",
        ),
        (
            'cuda = "１２"',
            "cuda: `１２` is not a version of CUDA; give a major or major.minor such as 12 or 12.6, or auto",
        ),
        ('cuda = "112"', f"cuda: unknown CUDA `112`; known are {CUDAS}"),
        ('cuda = "12"\ncpu = true', "cpu: contradicts `cuda`; keep one of the two"),
        ('cpu = "true"', "cpu: should be true or false, is text"),
        ("cpu = 1", "cpu: should be true or false, is a whole number"),
        ('python = "3.12.4"', "python: `3.12.4` names a patch release; give the minor, `3.12`"),
        ('python = "3.99"', f"python: unknown Python `3.99`; known are {PYTHONS}"),
        ('python = ">=3.11"', "python: `>=3.11` is not a minor release of Python; did you mean `3.11`?"),
        ("python = 3.10", "python: should be text, is a number; put quotes around it"),
        (
            'platforms = ["linux-amd64"]',
            f"platforms[0]: unknown platform `linux-amd64`; did you mean `linux-64`? Known are {PLATFORMS}",
        ),
        ("platforms = []", "platforms: is empty"),
        ('keras = "3.10"', "keras: `3.10` is not a range of versions; for this version only, write ==3.10"),
        ('keras = "new"', "keras: `new` is not a range of versions such as >=3.10,<4"),
        (
            'dependencies = ["a b"]',
            "dependencies[0]: `a b` is not a requirement such as scikit-learn>=1.5",
        ),
        *(
            (f'dependencies = ["{text}"]', f"dependencies[0]: `{text}` {said}")
            for text, said in (
                ("scipy=1.16", "is how conda writes it; a requirement says scipy==1.16.*"),
                ("scipy=1.16.*=py312_0", "is how conda writes it; a requirement says scipy==1.16.*"),
                ("scipy = 1.16 py312_0", "is how conda writes it; a requirement says scipy==1.16.*"),
                (
                    "conda-forge::scipy>=1",
                    "names a channel of conda, and a requirement has none: list it in `channels`",
                ),
                ("blas=*=mkl", "is not a requirement such as scikit-learn>=1.5"),
            )
        ),
        (
            'dependencies = [1, "-e ."]',
            (
                "dependencies[0]: should be text, is a whole number; put quotes around it\n"
                "kgen.toml: dependencies[1]: `-e .` is not a requirement: `kgen sync` installs the project"
                " itself editable, and another folder as mylib @ ./libs/mylib"
            ),
        ),
        (
            'dependencies = ["X @ https://user:secret@host/x.whl"]',
            "dependencies[0]: `https://…` holds credentials, which the lock would carry on; leave them to netrc",
        ),
        (
            'dependencies = ["git+https://user:secret@host/x"]',
            (
                "dependencies[0]: `git+https://…@host/x` is not a requirement: write the project's name before the"
                " place, as NAME @ PLACE"
            ),
        ),
        (
            'dependencies = ["./libs/x"]',
            (
                "dependencies[0]: `./libs/x` is not a requirement: write the project's name before the"
                " place, as `x @ ./libs/x`"
            ),
        ),
        (
            'dependencies = ["git+https://host/My_Lib.git@v1#subdirectory=a"]',
            (
                "dependencies[0]: `git+https://host/My_Lib.git@v1#subdirectory=a` is not a requirement: write the"
                " project's name before the place, as `my-lib @ git+https://host/My_Lib.git@v1#subdirectory=a`"
            ),
        ),
        (
            'dependencies = ["https://host/x-1-py3-none-any.whl"]',
            (
                "dependencies[0]: `https://host/x-1-py3-none-any.whl` is not a requirement: write the project's name"
                " before the place, as `x @ https://host/x-1-py3-none-any.whl`"
            ),
        ),
        (
            'dependencies = ["../"]',
            ("dependencies[0]: `../` is not a requirement: write the project's name before the place, as NAME @ PLACE"),
        ),
        (
            'require = ["torch @ file:///x.whl"]',
            "require[0]: `torch` is wanted from a URL, which only `dependencies` may; name its versions here",
        ),
        ('portable = "yes"', "portable: should be true or false, is text"),
        ('conda = "half"', "conda: unknown way to fill a conda environment `half`; known are full, base"),
        ('installers = ["pip"]', "installers[0]: unknown installer `pip`; known are uv, conda"),
        (
            'channels = ["https://user:secret@host/x"]',
            f"channels[0]: `https://…@host/x` {CREDENTIALS}",
        ),
        (
            'channels = ["https://host/t/tk-123/x"]',
            f"channels[0]: `https://host/t/…/x` {CREDENTIALS}",
        ),
        ('channels = ["HTTPS://host/a/t/tk-123/x"]', f"channels[0]: `HTTPS://host/a/t/…/x` {CREDENTIALS}"),
        ('channels = ["t/tk-123/x"]', f"channels[0]: `t/…/x` {CREDENTIALS}"),
        ('channels = ["conda.example/t/tk-123/x"]', f"channels[0]: `conda.example/t/…/x` {CREDENTIALS}"),
        *(
            (
                f"channels = ['{folder}']",
                f"channels[0]: `{folder}` is a folder; a lock names a channel by URL, such as file:///srv/channel",
            )
            for folder in ("/srv/t/x", "./channel", "../channel", "~/channel", "C:/channel")
        ),
        (
            'channels = ["conda-forge", "defaults"]',
            (
                "channels[1]: `defaults` is not one channel: each machine's conda decides what it means; name the"
                " channels themselves, as `conda config --show default_channels` lists them"
            ),
        ),
        (
            'channels = ["conda forge"]',
            "channels[0]: `conda forge` is not a channel such as conda-forge or https://conda.example/main",
        ),
        ("glibc = 2.28", "glibc: should be text, is a number; put quotes around it"),
        ('macos = "ten"', "macos: `ten` is not a version of macOS such as 14"),
        ("macos = 14", "macos: should be text, is a whole number; put quotes around it"),
        ('glibc = "2.28.1"', "glibc: `2.28.1` is not a version of glibc such as 2.28"),
        ('driver = "Rx"', "driver: `Rx` is not a driver version such as 535.183 or 580.65.06"),
        ("gpu = [8.0]", "gpu[0]: should be text, is a number; put quotes around it"),
        ('gpu = ["Voodoo5"]', f"gpu[0]: `Voodoo5` is not a compute capability such as 8.0 or sm_80; {NVIDIA_SMI}"),
        ('gpu = ["12"]', f"gpu[0]: `12` is not a compute capability such as 8.0 or sm_80; {NVIDIA_SMI}"),
        ('exclude-newer = "yesterday"', "exclude-newer: `yesterday` is not a date such as 2026-11-20"),
        ('exclude-newer = "2026-02-30"', "exclude-newer: `2026-02-30` is not a date such as 2026-11-20"),
        ('exclude-newer = "20261120"', "exclude-newer: `20261120` is not a date such as 2026-11-20"),
        (
            'exclude-newer = "2026-11-20T00:00:00Z"',
            "exclude-newer: `2026-11-20T00:00:00Z` is a moment; give the day alone, 2026-11-20",
        ),
        (
            "exclude-newer = 2026-11-20T01:02:03Z",
            "exclude-newer: `2026-11-20T01:02:03+00:00` is a moment; give the day alone, 2026-11-20",
        ),
        ("exclude-newer = 10:00:00", "exclude-newer: should be a date or text, is a time"),
        (
            "[backend.jaxx]",
            f"backend.jaxx: unknown backend `jaxx`; did you mean `jax`? Known are {BACKENDS}",
        ),
        ("backend = 3", "backend: should be a table, is a whole number"),
        ("backend.jax = 3", "backend.jax: should be a table, is a whole number"),
        (
            "[backend.jax]\ndependancies = []",
            "backend.jax.dependancies: unknown key; did you mean `dependencies`?",
        ),
        ("[environment.all]", "environment.all.backends: is missing"),
        ("[environment.all]\nbackends = []", "environment.all.backends: is empty"),
        (
            '[environment.all]\nbackends = ["jax"]',
            "environment.all.backends: names one backend; a joint environment has at least 2",
        ),
        (
            '[environment.all]\nbackends = ["jax", "jax"]',
            "environment.all.backends: `jax` is in it twice",
        ),
        ("[environment.jax]", "environment.jax: the name is that of a backend"),
        (
            "[environment.x-cpu]",
            "environment.x-cpu: the name ends like an accelerator, which kgen adds by itself",
        ),
        (
            "[environment.jax-cuda12]",
            "environment.jax-cuda12: the name ends like an accelerator, which kgen adds by itself",
        ),
        (
            f"[environment.{'x' * 65}]",
            f"environment.{'x' * 65}: the name is longer than 64 characters",
        ),
    ],
)
def test_a_fault(tmp_path: Path, matrix: CompatibilityMatrix, text: str, fault: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == f"kgen.toml: {fault}"
    assert caught.value.hints == (f"edit {file}",)


HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/x",
    "a\\b",
    "-a",
    "a-",
    "A",
    "a_b",
    "a b",
    "é",
    "a\n",
    "~",
    "a.b",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_is_none(tmp_path: Path, matrix: CompatibilityMatrix, name: str) -> None:
    key = '"' + name.replace("\\", "\\\\").replace("\n", "\\n") + '"'
    write(tmp_path, f'[environment.{key}]\nbackends = ["jax", "torch"]')
    shown = name if name in {"-a", "a-", "A", "a_b"} else key
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == (
        f"kgen.toml: environment.{shown}: the name is not made of a-z, 0-9 and inner hyphens"
    )
    with pytest.raises(UsageError):
        settings.check_name(name, matrix)


def test_check_name(matrix: CompatibilityMatrix) -> None:
    for name in ("all", "a", "1", "tf-and-jax", "cpu", "jax2"):
        settings.check_name(name, matrix)
    with pytest.raises(UsageError) as caught:
        settings.check_name("jax", matrix)
    assert caught.value.message == "--together: `jax` is that of a backend"
    assert caught.value.hints == ("choose another, such as `--together all`",)


def test_all_faults_at_once_with_the_file_and_the_path(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = "[tool.kgen]\ncudda = 12\npython = 3.12\n[tool.kgen.environment.a]\nbackends = ['jax', 'torsh']\n"
    write(tmp_path, text, "pyproject.toml")
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message.splitlines() == [
        "pyproject.toml: tool.kgen.python: should be text, is a number; put quotes around it",
        (
            "pyproject.toml: tool.kgen.environment.a.backends[1]: unknown backend `torsh`;"
            f" did you mean `torch`? Known are {BACKENDS}"
        ),
        "pyproject.toml: tool.kgen.cudda: unknown key; did you mean `cuda`?",
    ]


def test_a_table_that_is_none(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write(tmp_path, "[tool]\nkgen = 3\n", "pyproject.toml")
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == "pyproject.toml: tool.kgen: should be a table, is a whole number"


@pytest.mark.parametrize(
    "text",
    [r'cuda = "\u001b[31m\u0007"', r'"\u001b]0;x\u0007" = 1', r'dependencies = ["x\u202e"]'],
)
def test_a_message_does_not_steer_a_terminal(tmp_path: Path, matrix: CompatibilityMatrix, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message.isprintable()


def test_a_message_is_not_endless(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write(tmp_path, f'glibc = "{"9" * 100_000}"')
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert (
        caught.value.message == f"kgen.toml: glibc: `{'9' * 80}…` is not one printable line of at most 4096 characters"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = 1\nb = = 2\n", "is not valid TOML: Invalid value (at line 2, column 5)"),
        (b"a = 1\na = 2\n", "is not valid TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"a = 1\r\n# \xff\n", "is not UTF-8 text (at line 2)"),
    ],
)
@pytest.mark.parametrize("name", ["kgen.toml", "pyproject.toml"])
def test_a_file_that_is_no_toml(
    tmp_path: Path, matrix: CompatibilityMatrix, name: str, content: bytes, says: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == f"{file} {says}"
    assert caught.value.hints == (f"edit {file}",)


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "a = " + "9" * 10_000])
def test_a_file_that_is_too_much_for_a_parser(tmp_path: Path, matrix: CompatibilityMatrix, content: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        settings.read(tmp_path, matrix)
    # The reason is in the words of Python, which change with its version.
    assert caught.value.message.startswith((f"{file} is not valid TOML: ", "kgen.toml: a: unknown key"))


@pytest.mark.parametrize("name", ["kgen.toml", "pyproject.toml"])
def test_a_file_that_cannot_be_read(tmp_path: Path, matrix: CompatibilityMatrix, name: str) -> None:
    file = tmp_path / name
    file.mkdir()
    with pytest.raises(OutsideError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == f"{file} cannot be read: Is a directory"
    assert caught.value.hints == (f"ls -ld {tmp_path} {file}",)


def test_a_link_to_nothing_is_not_the_same_as_no_file(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    file = tmp_path / "kgen.toml"
    file.symlink_to("gone")
    assert project.find_root(tmp_path) == tmp_path
    with pytest.raises(OutsideError) as caught:
        settings.read(tmp_path, matrix)
    assert caught.value.message == f"{file} cannot be read: it is a link to nothing"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    return tmp_path / "a" / "b" / "c"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kgen.toml", ""),
        ("pyproject.toml", "[tool.kgen]"),
        ("pyproject.toml", "tool = { kgen = {} }"),
        ("pyproject.toml", "[tool.kgen]\nbroken"),
    ],
)
def test_find_root(deep: Path, name: str, text: str) -> None:
    assert project.find_root(deep) == deep
    for folder in (deep.parents[2], deep.parents[0], deep):
        write(folder, text, name)
        assert project.find_root(deep) == folder


@pytest.mark.parametrize("text", ["[project]\nname = 'kgen'", "[tool.other]", "broken", "# kgen\n[tool]"])
def test_find_root_passes_by_what_holds_no_settings(deep: Path, text: str) -> None:
    write(deep.parent, text, "pyproject.toml")
    write(deep.parents[2], "")
    assert project.find_root(deep) == deep.parents[2]


def test_find_root_where_there_are_no_settings(deep: Path) -> None:
    """What is typed in a folder of a project is about the project: its locks, and what it says of itself."""
    write(deep.parent, "[tool.other]\n", "pyproject.toml")
    assert project.find_root(deep) == deep
    write(deep.parents[1], "[build-system]\nrequires = []\n", "pyproject.toml")
    assert project.find_root(deep) == deep.parents[1]
    lock = deep.parents[2] / "locks/numpy-cpu/pylock.linux-64.toml"
    lock.parent.mkdir(parents=True)
    assert project.find_root(deep) == deep.parents[1]
    lock.touch()
    assert project.find_root(deep) == deep.parents[2]
    # a folder that a bundle was taken out into is a project of its own, inside of another too
    write(deep.parents[2], "")
    own = deep.parent / "locks/jax-cpu/pylock.linux-64.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert project.find_root(deep) == deep.parent


def test_find_root_stops_at_a_file_that_it_cannot_read(deep: Path) -> None:
    (deep.parent / "pyproject.toml").mkdir()
    write(deep.parents[2], "")
    assert project.find_root(deep) == deep.parent


def test_find_root_does_not_leave_the_repository(deep: Path) -> None:
    write(deep.parents[2], "")
    (deep.parent / ".git").write_text("gitdir: elsewhere")
    assert project.find_root(deep) == deep


def test_find_root_does_not_leave_the_home_folder(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(deep.parents[2], "")
    monkeypatch.setattr(host, "home", lambda: deep.parent)
    assert project.find_root(deep) == deep
    monkeypatch.setattr(host, "home", lambda: deep.parents[2])
    assert project.find_root(deep) == deep.parents[2]


def test_find_root_of_a_relative_folder(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(deep.parent, "")
    monkeypatch.chdir(deep)
    assert project.find_root(Path()) == deep.parent


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("8.0", "8.0"),
        ("80", "8.0"),
        ("sm_80", "8.0"),
        ("sm80", "8.0"),
        ("compute_89", "8.9"),
        ("sm_90a", "9.0"),
        ("9.0a", "9.0"),
        ("sm_100", "10.0"),
        ("12.0", "12.0"),
        ("sm_120f", "12.0"),
        ("121", "12.1"),
        ("SM_90", "9.0"),
        ("a100", "8.0"),
        ("rtx5090", "12.0"),
        ("RTX-5090", "12.0"),
        ("dgx_spark", "12.1"),
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA H100 PCIe", "9.0"),
        ("Tesla V100-SXM2-32GB", "7.0"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "8.9"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "8.6"),
        ("RTX 2080", "7.5"),
        ("Quadro RTX 6000", "7.5"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0"),
        ("AMD Instinct MI300X", "gfx942"),
        ("GFX942", "gfx942"),
    ],
)
def test_parse_gpu(text: str, capability: str) -> None:
    assert parsers.parse_gpu(text, MATRIX) == capability


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("Tesla K80", "3.7"),
        ("GeForce GTX 980 Ti", "5.2"),
        ("NVIDIA GeForce GTX 1080", "6.1"),
        ("NVIDIA GeForce MX150", "6.1"),
        ("NVIDIA TITAN V", "7.0"),
        ("NVIDIA TITAN RTX", "7.5"),
        ("NVIDIA GeForce GTX 1660 SUPER", "7.5"),
        ("Quadro RTX 4000", "7.5"),
        ("NVIDIA RTX 4000 SFF Ada Generation", "8.9"),
        ("NVIDIA GeForce RTX 3050 Laptop GPU", "8.6"),
        ("NVIDIA H20", "9.0"),
        ("Jetson Orin", "8.7"),
        ("NVIDIA RTX PRO 4500 Blackwell", "12.0"),
        ("AMD Radeon RX 7900 XTX", "gfx1100"),
        ("AMD Radeon PRO W7900", "gfx1100"),
        ("Radeon RX 9070 XT", "gfx1201"),
        ("AMD Radeon VII", "gfx906"),
    ],
)
def test_what_people_have_is_known_by_name(text: str, capability: str, shipped_matrix: CompatibilityMatrix) -> None:
    assert parsers.parse_gpu(text, shipped_matrix) == capability


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "8.",
        ".8",
        "0.8",
        "12",
        "2.1",
        "sm_",
        "sm_80 ",
        "sm_80\n",
        "8.00",
        "8.0.0",
        "1000",
        "Voodoo5",
        "NVIDIA",
        "ti",
        "6000",
        "RTX",
    ],
)
def test_parse_gpu_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a compute capability"):
        parsers.parse_gpu(text, MATRIX)


HOSTILE = [
    "",
    " ",
    "\n",
    "\0",
    "\x1b[0m",
    "../..",
    "$(id)",
    "'\"",
    "9" * 10_000,
    "é",
    "-",
    "--",
    "12\n",
    "3.12\n",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_parsers_refuse_with_a_short_printable_message(text: str, matrix: CompatibilityMatrix) -> None:
    def bound(parse: Callable[[str, CompatibilityMatrix], object]) -> Callable[[str], object]:
        return lambda text: parse(text, matrix)

    tried: list[Callable[[str], object]] = [
        parsers.parse_glibc,
        parsers.parse_driver,
        parsers.parse_date,
        parsers.parse_installer,
        bound(parsers.parse_backend),
        bound(parsers.parse_platform),
        bound(parsers.parse_python),
        bound(parsers.parse_gpu),
        bound(functools.partial(parsers.parse_accelerator, kind=accelerators.kind("cuda"))),
    ]
    for parse in tried:
        if text == "9" * 10_000 or not text.isdecimal():
            with pytest.raises(ValueError, match=r"^`|^unknown ") as caught:
                parse(text)
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 250


def test_parsers_accept() -> None:
    assert parsers.parse_glibc("2.17") == Version("2.17")
    assert parsers.parse_driver("580") == DriverVersion("580")
    assert parsers.parse_date("2026-11-20") == dt.date(2026, 11, 20)
    assert parsers.parse_specifiers(">=3.10,<4") == VersionRange(">=3.10,<4")
    assert parsers.parse_requirement_flag("Torch==2.6.0") == Requirement("torch==2.6.0")
    assert parsers.parse_channel("https://conda.example/main") == "https://conda.example/main"
    # the same channel has one name
    assert parsers.parse_channel("https://conda.example/main/") == "https://conda.example/main"
    assert parsers.parse_channel("file:///srv/channel//") == "file:///srv/channel"
    assert parsers.parse_channel("conda-forge/label/dev/") == "conda-forge/label/dev"


def test_a_toml_date(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write(tmp_path, "exclude-newer = 2026-11-20")
    assert settings.read(tmp_path, matrix).exclude_newer == dt.date(2026, 11, 20)


def test_two_names_of_one_gpu(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write(tmp_path, 'gpu = ["8.0", "sm_80"]')
    assert settings.read(tmp_path, matrix).gpu == ("8.0",)
