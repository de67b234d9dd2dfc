"""`kgen matrix refresh`: from an index on loopback, in every way that an index may serve, and lie."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import json
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import Kgen, tree
from tests.elves import elf_header
from tests.recorded import MATRIX
from tests.repository import Fault, Form, Repository, Served, serving
from tests.wheelhouse import Wheel

from kgen import index, resources, storage, wheels
from kgen.cli import main
from kgen.errors import Cancelled, OutsideError
from kgen.index import Index
from kgen.matrix import origin, writer
from kgen.matrix.compatibility import CompatibilityMatrix, Folder
from kgen.refresh import names, sonames
from kgen.refresh.run import Change, Refresh, Refreshed
from kgen.refresh.wheel_facts import FactReader
from kgen.served import cache, client
from kgen.served.file import Page

TODAY = dt.date(2027, 3, 4)
DAY = dt.date(2027, 3, 1)
OLD = dt.date(2026, 1, 2)

ONLY = ">=3.12,<3.13"
LINUX = "cp312-cp312-manylinux_2_28_x86_64"
ARM = "cp312-cp312-manylinux_2_28_aarch64"
MAC = "cp312-cp312-macosx_14_0_arm64"
CUDNN = "nvidia-cudnn-cu12"
RUNTIME = "nvidia-cuda-runtime-cu12"

PAGES = 19
"""How many projects the small matrix is about, with the parts of its frameworks."""

_SHARED = ("python.toml", "platforms.toml", "accelerators.toml", "cudnn.toml")

_BACKENDS = """\
[torch]
framework = "torch"
accelerated = true
source = "made up"
checked = 2026-11-21

[torch.environment]
KERAS_BACKEND = "torch"

[jax]
framework = "jax"
accelerated = true
source = "made up"
checked = 2026-11-21

[jax.environment]
KERAS_BACKEND = "jax"

[tensorflow]
framework = "tensorflow"
accelerated = true
source = "made up"
checked = 2026-11-21

[tensorflow.environment]
KERAS_BACKEND = "tensorflow"
"""

_TORCH = """\
[project]
name = "torch"
title = "PyTorch"

# written by hand, and to be left alone
[[release]]
version = "2.20.0"
released = 2026-01-02

[[release.build]]
cuda = "12.8"
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["torch==2.20.0"]
requires = ["nvidia-cuda-runtime-cu12==12.8.90", "nvidia-cudnn-cu12==9.10.2.21"]
sass = ["7.0", "9.0"] # measured
ptx = ["9.0"]
gpu-fails = [{ gpu = ">=10.0", reason = "seen to fail", source = "made up" }]
source = "a person who measured it"
checked = 2026-11-21

[[release.build]]
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["torch==2.20.0+cpu"]
requires = []
local = "cpu"
source = "made up"
checked = 2026-11-21
"""


def _plain(name: str, version: str) -> str:
    return f"""\
[project]
name = "{name}"
title = "{name}"

[[release]]
version = "{version}"
released = 2026-01-02

[[release.build]]
pythons = ["3.12"]
platforms = {{ linux-64 = "2.28" }}
install = ["{name}=={version}"]
requires = []
source = "made up"
checked = 2026-11-21
"""


def _library(role: str, version: str, cuda: int | None = None) -> str:
    return writer.library_text(
        {
            "role": role,
            **({"cuda": cuda} if cuda else {}),
            "source": f"index page of a library of {role}",
            "checked": dt.date(2026, 11, 21),
            "files": writer.grouped([writer.Fit(version, {"linux-64": "2.17"}, (), OLD)]),
        }
    )


@pytest.fixture(scope="session")
def texts() -> Mapping[str, str]:
    """A matrix of a few rows."""
    shipped = Folder(MATRIX)
    return {
        **{name: shipped[name] for name in _SHARED},
        "backends.toml": _BACKENDS,
        "toolkits.toml": '[[toolkit]]\nversion = "12.8.1"\nsource = "made up"\nchecked = 2026-11-21\n',
        "torch.toml": _TORCH,
        "jax.toml": _plain("jax", "0.20.0"),
        "tensorflow.toml": _plain("tensorflow", "2.30.0"),
        "keras.toml": _plain("keras", "3.20.0"),
        f"libraries/{CUDNN}.toml": _library("cudnn", "9.10.2.21", 12),
        f"libraries/{RUNTIME}.toml": _library("runtime", "12.8.90", 12),
        "libraries/cuda-toolkit.toml": _library("toolkit", "12.8.1"),
    }


def library(name: str, version: str, *, tag: str = "py3-none-manylinux_2_17_x86_64", day: dt.date = OLD) -> Wheel:
    return Wheel(name=name, version=version, tag=tag, requires_python=">=3", uploaded=day)


def keras(version: str, day: dt.date = DAY) -> Wheel:
    return Wheel(name="keras", version=version, requires_python=ONLY, uploaded=day)


def torch(
    version: str, tag: str = LINUX, *, cuda: str | None = "12.8", day: dt.date = DAY, more: tuple[str, ...] = ()
) -> Wheel:
    """A wheel that has what a real one has: requirements of Linux alone, and a module that knows its CUDA."""
    linux = 'platform_system == "Linux" and platform_machine == "x86_64"'
    requires = (
        ("filelock", f"{CUDNN}==9.12.0.1; {linux}", f"{RUNTIME}==12.8.90; {linux}", *more) if cuda else ("filelock",)
    )
    value = None if cuda is None else cuda
    return Wheel(
        name="torch",
        version=version,
        tag=tag,
        requires=requires,
        requires_python=">=3.10",
        files={"torch/__init__.py": b"x" * 300_000, "torch/version.py": f"cuda: Optional[str] = {value!r}\n".encode()},
        uploaded=day,
    )


def tensorflow(name: str, version: str, info: str, tag: str = LINUX) -> Wheel:
    return Wheel(
        name=name,
        version=version,
        tag=tag,
        requires=(f"{RUNTIME}<13.0,>=12.8.90; extra == 'and-cuda'", "keras>=3.20.0"),
        files={
            "tensorflow/python/platform/build_info.py": f"build_info = collections.OrderedDict([{info}])\n".encode()
        },
        uploaded=DAY,
    )


def known() -> list[Wheel]:
    """The wheels of what the small matrix knows."""
    return [
        torch("2.20.0", day=OLD),
        *(
            Wheel(
                name=name,
                version="0.20.0",
                tag="py3-none-any" if name == "jax" else LINUX,
                requires_python=ONLY,
                uploaded=OLD,
            )
            for name in ("jax", "jaxlib")
        ),
        *(
            Wheel(name=f"jax-cuda{major}-{part}", version="0.1.0", uploaded=OLD)
            for major in (11, 12, 13)
            for part in ("plugin", "pjrt")
        ),
        Wheel(name="tensorflow", version="2.30.0", tag=LINUX, uploaded=OLD),
        Wheel(name="tensorflow-cpu", version="2.29.0", tag=LINUX, uploaded=OLD),
        keras("3.20.0", OLD),
        library(CUDNN, "9.10.2.21"),
        library(RUNTIME, "12.8.90"),
        Wheel(
            name="cuda-toolkit",
            version="12.8.1",
            tag="py3-none-manylinux_2_17_x86_64",
            requires_python=">=3",
            uploaded=OLD,
        ),
    ]


NEW = (torch("2.21.0"), torch("2.21.0", MAC, cuda=None), library(CUDNN, "9.12.0.1", day=DAY))


@pytest.fixture
def served() -> Served:
    return Served(wheels=known())


@pytest.fixture
def repository(served: Served) -> Iterator[Repository]:
    with serving(served) as at_work:
        yield at_work


Refreshing = Callable[..., Refreshed]


@pytest.fixture
def refresh(texts: Mapping[str, str], repository: Repository, tmp_path: Path) -> Refreshing:
    def run(
        over: Mapping[str, str] | None = None,
        *,
        cancel: threading.Event | None = None,
        in_flight: int = 8,
        own: str | None = None,
        unchanged: Path | None = None,
    ) -> Refreshed:
        cancelled = cancel or threading.Event()
        with wheels.WheelReader(cache=None, cancel=cancelled) as reader:
            return Refresh(
                {**texts, **(over or {})},
                Index((repository.url,), reader, cache=tmp_path / "pages"),
                lambda count: FactReader(reader, cache=tmp_path / "facts", count=count),
                today=TODAY,
                cancel=cancelled,
                in_flight=in_flight,
                open_own=None
                if own is None
                else lambda _name, label: Index(
                    (f"{own}/{label}",), reader, cache=tmp_path / "pages", absent=(403, 404)
                ),
                unchanged=unchanged,
            ).run()

    return run


def release(found: Refreshed, name: str, version: str) -> dict[str, Any]:
    rows = tomli.loads(found.files[f"{name}.toml"])["release"]
    return next(row for row in rows if row["version"] == version)


# -- the form of the files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(Folder(resources.folder("matrix"))))
def test_writing_what_was_read_changes_nothing_in_the_matrix_that_ships(name: str) -> None:
    text = Folder(resources.folder("matrix"))[name]
    if name.startswith("libraries/"):
        data = tomli.loads(text)
        assert writer.library_text({**data, "files": writer.grouped(writer.fits(data))}) == text
        return
    if name == names.FILE:
        data = tomli.loads(text)
        assert names.text(data["names"], data["origin"]["version"], data["origin"]["checked"]) == text
        return
    kinds = {"[[release]]": writer.release_text, "[[toolkit]]": writer.toolkit_text}
    heading = next((heading for heading in kinds if f"\n{heading}\n" in f"\n{text}"), None)
    if heading is None:
        return
    head, rows = writer.rows(text, heading)
    again = {version: kinds[heading](tomli.loads(row)[heading.strip("[]")][0]) for version, row in rows.items()}
    assert writer.with_rows(head, heading, again) == text
    assert writer.with_rows(text, heading, dict(list(again.items())[2:4])) == text


def test_a_row_goes_where_its_version_belongs_and_comments_stay_with_theirs() -> None:
    text = (
        '[project]\nname = "x"\n\n# the first\n[[release]]\nversion = "2"\n\n# the last\n[[release]]\nversion = "10"\n'
    )
    added = {version: f'[[release]]\nversion = "{version}"\n' for version in ("1", "9", "11")}
    assert writer.with_rows(text, "[[release]]", added) == (
        '[project]\nname = "x"\n\n[[release]]\nversion = "1"\n\n# the first\n[[release]]\nversion = "2"\n\n'
        '[[release]]\nversion = "9"\n\n# the last\n[[release]]\nversion = "10"\n\n[[release]]\nversion = "11"\n'
    )


def test_a_changed_row_keeps_its_comments_and_its_order() -> None:
    row = (
        '[[release]]\nversion = "1.0"\nreleased = 2026-01-02 # first\n\n[[release.build]]\npythons = ["3.12"] # seen\n'
    )
    after = writer.edited(row, "[[release]]", lambda table: writer.put_after(table, "yanked", "bad", after="released"))
    assert after == row.replace("# first\n", '# first\nyanked = "bad"\n')


# -- what is new -------------------------------------------------------------------------------------------------------


def test_nothing_new_costs_one_page_a_project_and_no_wheel(refresh: Refreshing, served: Served) -> None:
    found = refresh()
    assert (found.files, found.changes, found.contradictions) == ({}, [], [])
    assert len(served.asked) == len(set(served.asked)) == found.pages
    assert all(path.startswith("/simple/") for path in served.asked)


def test_a_page_that_has_not_changed_is_not_sent_again(refresh: Refreshing, served: Served) -> None:
    served.tags = True
    refresh()
    served.sent = 0
    found = refresh()
    assert found.files == {}
    assert served.sent == 0


CONTRARY = _TORCH.replace('linux-64 = "2.28"', 'linux-64 = "2.17"')


def test_the_same_pages_are_not_looked_at_again(
    refresh: Refreshing, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came of them comes of them again, contradictions too, and no page is understood for that."""
    served.wheels = [wheel for wheel in served.wheels if wheel.name != RUNTIME]
    unchanged, mine = tmp_path / "unchanged", {"torch.toml": CONTRARY}
    first = refresh(mine, unchanged=unchanged)
    assert len(first.contradictions) == 1
    assert first.notes == [f"no index has {RUNTIME}"]
    with monkeypatch.context() as patch:
        patch.setattr(index, "parse", lambda _page, _name: pytest.fail("a page was looked at"))
        assert refresh(mine, unchanged=unchanged) == first
    assert refresh(mine) == first


@pytest.mark.parametrize("what", ["a page", "the matrix", "what was kept", "the form of what was kept"])
def test_what_is_another_than_before_is_looked_at(
    refresh: Refreshing, served: Served, tmp_path: Path, what: str
) -> None:
    unchanged = tmp_path / "unchanged"
    assert refresh({"torch.toml": CONTRARY}, unchanged=unchanged).files == {}
    text = CONTRARY
    if what == "a page":
        served.wheels += NEW
    elif what == "the matrix":
        text = _TORCH
    elif what == "what was kept":
        unchanged.write_bytes(unchanged.read_bytes().replace(b"2.28", b"2.29"))
    else:
        data = json.loads(unchanged.read_bytes().partition(b"\n")[2])
        cache.keep(unchanged, "kgen-unchanged 1", json.dumps({**data, "gone": 3}).encode())
    found = refresh({"torch.toml": text}, unchanged=unchanged)
    again = refresh({"torch.toml": text})
    assert (found.files, found.contradictions, found.gone) == (again.files, again.contradictions, again.gone)
    assert bool(found.files) == (what == "a page")


def test_what_is_new_is_new_until_it_is_taken(refresh: Refreshing, served: Served, tmp_path: Path) -> None:
    served.wheels += NEW
    unchanged = tmp_path / "unchanged"
    first = refresh(unchanged=unchanged)
    assert first.files
    assert not unchanged.exists()
    assert refresh(unchanged=unchanged).files == first.files
    assert refresh(first.files, unchanged=unchanged).files == {}
    assert unchanged.exists()


@pytest.mark.parametrize("form", ["html", "json"])
@pytest.mark.parametrize("sidecar", [False, True])
@pytest.mark.parametrize("ranges", [False, True])
def test_a_new_release_is_read_however_the_index_serves_it(
    refresh: Refreshing, served: Served, form: Form, *, sidecar: bool, ranges: bool
) -> None:
    served.form, served.sidecar, served.ranges = form, sidecar, ranges
    served.wheels += NEW
    row = release(refresh(), "torch", "2.21.0")
    assert row["released"] == DAY
    cuda, plain, local = row["build"]
    assert cuda == {
        "cuda": "12.8",
        "pythons": ["3.12"],
        "platforms": {"linux-64": "2.28"},
        "install": ["torch==2.21.0"],
        "requires": [f"{RUNTIME}==12.8.90", f"{CUDNN}==9.12.0.1"],
        "sass": ["7.0", "9.0"],
        "ptx": ["9.0"],
        "gpu-fails": [{"gpu": ">=10.0", "reason": "seen to fail", "source": "made up"}],
        "source": f"torch-2.21.0-{LINUX}.whl: METADATA, torch/version.py; sass and ptx assumed from 2.20.0",
        "checked": TODAY,
    }
    assert (plain["platforms"], plain["requires"], "cuda" in plain) == ({"osx-arm64": ""}, [], False)
    assert (local["install"], local["local"]) == (["torch==2.21.0+cpu"], "cpu")
    assert local["source"].startswith("assumed from 2.20.0, for its own index was not read;")


def test_a_wheel_is_not_downloaded_whole(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    refresh()
    whole = sum(len(wheel.content) for wheel in NEW if wheel.name == "torch")
    assert served.sent < whole
    assert all(" bytes=" in path for path in served.asked if path.startswith("/files/"))


def test_what_stands_in_the_file_stays_byte_for_byte(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    after = refresh().files["torch.toml"]
    assert after.startswith(_TORCH)
    assert CompatibilityMatrix({"torch.toml": after}).framework("torch").releases[-1].version.release == (2, 21, 0)


def test_what_was_read_once_is_not_read_again(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    first = refresh()
    served.asked.clear()
    second = refresh()
    assert (first.wheels, second.wheels) == (2, 0)
    assert first.files == second.files
    assert all(path.startswith("/simple/") for path in served.asked)


def test_a_refreshed_matrix_is_up_to_date(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    assert refresh(refresh().files).files == {}


def test_concurrently_or_one_after_the_other_the_rows_are_the_same(
    refresh: Refreshing, served: Served, tmp_path: Path
) -> None:
    served.wheels += [*NEW, torch("2.22.0"), torch("2.23.0", cuda="12.9"), torch("2.23.0", ARM, cuda=None)]
    one = refresh(in_flight=1)
    for file in (tmp_path / "facts").iterdir():
        file.unlink()
    assert refresh(in_flight=8).files == one.files


def test_an_unknown_cuda_has_no_architectures_that_were_not_read(refresh: Refreshing, served: Served) -> None:
    served.wheels += [torch("2.21.0", cuda="12.9"), library(CUDNN, "9.12.0.1", day=DAY)]
    build = release(refresh(), "torch", "2.21.0")["build"][0]
    assert build["cuda"] == "12.9"
    assert "sass" not in build
    assert "assumed" not in build["source"]


def test_a_generation_of_cuda_without_a_driver_is_left_out(refresh: Refreshing, served: Served) -> None:
    served.wheels += [torch("2.21.0", cuda="14.0")]
    found = refresh()
    assert found.files == {}
    assert found.notes == [
        "torch 2.21.0 is built for CUDA 14.0, of which accelerators.toml knows no driver: it was left out"
    ]


def test_tensorflow_says_what_it_was_built_for(refresh: Refreshing, served: Served) -> None:
    info = "('cuda_version', '12.8.1'), ('cuda_compute_capabilities', ['sm_75', 'compute_90']), ('is_cuda_build', True)"
    served.wheels += [
        tensorflow("tensorflow", "2.31.0", info),
        tensorflow("tensorflow", "2.31.0", "('is_cuda_build', False)", ARM),
        tensorflow("tensorflow-cpu", "2.31.0", "('is_cuda_build', False)"),
        Wheel(name="tensorflow", version="2.31.0", tag="cp312-cp312-win_amd64", requires=("tensorflow-intel",)),
    ]
    cuda, cpu, arm = release(refresh(), "tensorflow", "2.31.0")["build"]
    assert (cuda["install"], cuda["cuda"]) == (["tensorflow[and-cuda]==2.31.0"], "12.8")
    assert cuda["requires"] == ["keras>=3.20.0", f"{RUNTIME}>=12.8.90,<13.0"]
    assert (cuda["sass"], cuda["ptx"]) == (["7.5", "9.0"], ["9.0"])
    assert (cpu["install"], cpu["requires"]) == (["tensorflow-cpu==2.31.0"], ["keras>=3.20.0"])
    assert (arm["install"], arm["platforms"]) == (["tensorflow==2.31.0"], {"linux-aarch64": "2.28"})


def test_tensorflow_for_windows_names_its_cuda_after_a_dll(refresh: Refreshing, served: Served) -> None:
    info = "('cuda_version', '64_128'), ('cuda_compute_capabilities', ['sm_75']), ('is_cuda_build', True)"
    served.wheels += [tensorflow("tensorflow", "2.31.0", info)]
    (cuda,) = release(refresh(), "tensorflow", "2.31.0")["build"]
    assert cuda["cuda"] == "12.8"


def test_what_an_extra_brings_must_be_there(refresh: Refreshing, served: Served) -> None:
    info = "('cuda_version', '12.8'), ('is_cuda_build', True)"
    lacking = dataclasses.replace(
        tensorflow("tensorflow", "2.31.0", info), requires=("tensorrt-libs==8.6.1; extra == 'and-cuda'",)
    )
    served.wheels += [lacking, tensorflow("tensorflow-cpu", "2.31.0", "('is_cuda_build', False)")]
    found = refresh()
    assert [build["install"] for build in release(found, "tensorflow", "2.31.0")["build"]] == [
        ["tensorflow-cpu==2.31.0"]
    ]
    (note,) = found.notes
    assert note == (
        "tensorflow 2.31.0 for CUDA 12.8 on linux-64 was left out: no index has a wheel of tensorrt-libs==8.6.1,"
        " which it needs"
    )


def parts_of_jax(constants: bytes | None = None) -> list[Wheel]:
    """A release of JAX for CUDA 12, with what its compiled module holds; without that module by default."""
    return [
        Wheel(
            name="jax",
            version="0.21.0",
            requires=(
                "jaxlib<=0.21.0,>=0.20.0",
                'jax-cuda12-plugin[with-cuda]<=0.21.0,>=0.21.0; extra == "cuda12"',
            ),
            requires_python=">=3.12,<3.13",
            uploaded=DAY,
        ),
        Wheel(
            name="jax-cuda12-plugin",
            version="0.21.0",
            tag=LINUX,
            requires=(f'{RUNTIME}>=12.1.105; extra == "with-cuda"',),
            files={} if constants is None else {"jax_cuda12_plugin/_versions.so": constants},
            uploaded=DAY,
        ),
        Wheel(name="jax-cuda12-pjrt", version="0.21.0", tag="py3-none-manylinux_2_28_x86_64", uploaded=DAY),
    ]


def test_the_parts_of_jax_go_together(refresh: Refreshing, served: Served) -> None:
    served.wheels += parts_of_jax()
    cuda, cpu = release(refresh(), "jax", "0.21.0")["build"]
    assert cuda["install"] == [
        "jax[cuda12]==0.21.0",
        "jaxlib==0.20.0",
        "jax-cuda12-plugin==0.21.0",
        "jax-cuda12-pjrt==0.21.0",
    ]
    assert (cuda["cuda"], cuda["requires"]) == ("12.1", [f"{RUNTIME}>=12.1.105"])
    assert cpu["install"] == ["jax==0.21.0", "jaxlib==0.20.0"]


def page_of(name: str, attributes: str = "") -> Page:
    """The page of a project that has one file."""
    body = f'<a href="{name}"{attributes}>{name}</a>'.encode()
    return Page(url="https://index.example/project/", status=200, kind="text/html", body=body)


@pytest.mark.parametrize(
    ("name", "tags", "variant"),
    [
        ("torch-2.21.0-cp312-cp312-linux_x86_64.whl", ("cp312", "cp312", "linux_x86_64"), ""),
        ("torch-2.21.0-1-cp312-cp312-linux_x86_64.whl", ("cp312", "cp312", "linux_x86_64"), ""),
        ("torch-2.21.0-cp312-cp312-linux_x86_64-cu130.whl", ("cp312", "cp312", "linux_x86_64"), "cu130"),
        ("torch-2.21.0-1-cp312-cp312-linux_x86_64-null.whl", ("cp312", "cp312", "linux_x86_64"), "null"),
    ],
)
def test_the_label_of_a_wheel_variant_is_no_platform(name: str, tags: tuple[str, str, str], variant: str) -> None:
    page = page_of(name)
    (file,) = index.parse(page, "torch")
    assert (file.version, file.tags, file.variant) == ("2.21.0", tags, variant)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-11-20T00:30:00.123456Z", "2026-11-20"),
        ("2026-11-20T00:30:00+00:00", "2026-11-20"),
        ("2026-11-20T00:30:00.1+02:00", "2026-11-19"),
        ("2026-11-20T00:30:00+0200", "2026-11-19"),
        ("20261120T003000Z", "2026-11-20"),
        ("2026-11-20 00:30", "2026-11-20"),
        ("0001-01-01T00:00:00+02:00", None),
        ("2026-W47-5T00:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_the_day_of_a_file_is_the_one_in_utc(written: str, day: str | None) -> None:
    (file,) = index.parse(page_of("a-1-py3-none-any.whl", f' data-upload-time="{written}"'), "a")
    assert (None if file.uploaded is None else str(file.uploaded)) == day


def test_what_has_too_many_parts_is_no_wheel() -> None:
    page = page_of("a-1-b-c-d-e-f-g.whl")
    assert list(index.parse(page, "a")) == []


def test_a_remark_about_a_project_that_has_had_a_release_is_named(refresh: Refreshing, served: Served) -> None:
    """No row installs it, and nobody would look at it again."""
    remark = """
[[project.elsewhere]]
releases = ">=2.0"
accelerator = "metal"
text = "a plugin of theirs works beside 2.20"
written-for = { theirs-metal = "1.2.0", theirs-old = "3" }
source = "seen"
checked = 2026-11-28

"""
    mine = {"torch.toml": _TORCH.replace("[[release]]", f"{remark.strip()}\n\n[[release]]", 1)}
    served.wheels += [library("theirs-metal", one, day=DAY) for one in ("1.2.0", "1.3.0rc1")]
    assert refresh(mine).notes == []
    served.wheels.append(library("theirs-metal", "1.3.0", day=DAY))
    (note,) = refresh(mine).notes
    assert note == (
        "theirs-metal 1.3.0 is newer than 1.2.0, which the remark about it in torch.toml was written for; such rows are"
        " made by hand"
    )


def test_wheel_variants_are_left_out_and_named(refresh: Refreshing, served: Served) -> None:
    """Their tags are those of any machine; which of them one can use its label stands for."""
    variant = torch("2.21.0", f"{LINUX}-cu128")
    served.wheels += [variant, dataclasses.replace(variant, tag=f"{LINUX}-null")]
    alone = refresh()
    assert "torch.toml" not in alone.files
    (note,) = alone.notes
    assert note == (
        "torch has wheel variants (cu128, null), which were left out: uv takes them only with its preview"
        " `wheel-variants`, and no row of the matrix is about one"
    )
    served.wheels += [torch("2.21.0"), library(CUDNN, "9.12.0.1", day=DAY)]
    (cuda, *_) = release(refresh(), "torch", "2.21.0")["build"]
    assert cuda["source"].startswith(f"torch-2.21.0-{LINUX}.whl")


def for_other_accelerators(plugin: str | None = "0.21.0") -> list[Wheel]:
    """A release of JAX with extras for TPUs and ROCm 7, and what they bring, but for ROCm's plugin."""
    parts = [] if plugin is None else [("jax-rocm7-plugin", plugin), ("jax-rocm7-pjrt", plugin)]
    return [
        Wheel(
            name="jax",
            version="0.21.0",
            requires=(
                "jaxlib<=0.21.0,>=0.20.0",
                'libtpu==0.0.50.*; extra == "tpu"',
                'jax-rocm7-plugin==0.21.0.*; extra == "rocm7-local"',
            ),
            requires_python=">=3.12,<3.13",
            uploaded=DAY,
        ),
        *(Wheel(name=name, version=version, tag=LINUX, uploaded=DAY) for name, version in parts),
        Wheel(name="libtpu", version="0.0.50", tag="py3-none-manylinux_2_28_x86_64", uploaded=DAY),
    ]


_CODE = """
[[release.build]]
rocm = "7"
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["jax[rocm7-local]==0.20.0", "jaxlib==0.20.0", "jax-rocm7-plugin==0.20.0", "jax-rocm7-pjrt==0.20.0"]
requires = []
code = ["gfx90a", "gfx942"]
source = "read from its kernels"
checked = 2026-11-21
"""


def test_builds_for_tpus_and_rocm_are_followed(refresh: Refreshing, served: Served, texts: Mapping[str, str]) -> None:
    served.wheels += for_other_accelerators()
    over = {"jax.toml": texts["jax.toml"] + _CODE, "libraries/libtpu.toml": _library("libtpu", "0.0.49")}
    found = refresh(over)
    rocm, tpu, cpu = release(found, "jax", "0.21.0")["build"]
    assert (rocm["rocm"], rocm["platforms"]) == ("7", {"linux-64": "2.28"})
    assert rocm["install"] == [
        "jax[rocm7-local]==0.21.0",
        "jaxlib==0.20.0",
        "jax-rocm7-plugin==0.21.0",
        "jax-rocm7-pjrt==0.21.0",
    ]
    assert rocm["code"] == ["gfx90a", "gfx942"]
    assert rocm["source"].endswith("; code assumed from 0.20.0")
    assert (tpu["tpu"], tpu["install"]) == (True, ["jax[tpu]==0.21.0", "jaxlib==0.20.0"])
    assert tpu["requires"] == ["libtpu==0.0.50.*"]
    assert "code" not in tpu
    assert not {"cuda", "rocm", "tpu"} & cpu.keys()
    assert [one.detail for one in found.changes if one.name == "jax"] == ["ROCm 7, TPU, CPU"]


def test_a_release_without_its_plugin_for_rocm_has_none(refresh: Refreshing, served: Served) -> None:
    """JAX came out before the plugin: the row is for what there is, and no note calls what was never there missing."""
    served.wheels += for_other_accelerators(plugin="0.20.0")
    found = refresh()
    assert [build["install"][0] for build in release(found, "jax", "0.21.0")["build"]] == [
        "jax[tpu]==0.21.0",
        "jax==0.21.0",
    ]
    assert not any("rocm" in note for note in found.notes)


@pytest.mark.parametrize(
    ("constants", "cuda", "source"),
    [
        (
            elf_header(62, b"\xbf" + (12080).to_bytes(4, "little") + b"\xbf" + (12510).to_bytes(4, "little")),
            "12.8",
            "jax_cuda12_plugin/_versions.so (CUDA 12.8)",
        ),
        (elf_header(183, (0x52800000 | 12770 << 5 | 1).to_bytes(4, "little")), "12.1", "smallest in METADATA"),
        (
            elf_header(183, (0x52800000 | 12080 << 5 | 1).to_bytes(4, "little")),
            "12.8",
            "jax_cuda12_plugin/_versions.so (CUDA 12.8)",
        ),
        (b"no machine code", "12.1", "smallest in METADATA"),
    ],
)
def test_the_toolkit_of_jax_is_the_constant_that_is_compiled_into_its_plugin(
    refresh: Refreshing, served: Served, constants: bytes, cuda: str, source: str
) -> None:
    served.wheels += parts_of_jax(constants)
    row = release(refresh(), "jax", "0.21.0")["build"][0]
    assert row["cuda"] == cuda
    assert source in row["source"]


def test_the_gpus_of_torch_are_the_flags_that_it_was_compiled_with(refresh: Refreshing, served: Served) -> None:
    new = torch("2.21.0")
    flags = {"torch/lib/libtorch_python.so": b"\x00sm_75 sm_80 sm_90a\x00"}
    served.wheels += [dataclasses.replace(new, files={**new.files, **flags}), library(CUDNN, "9.12.0.1", day=DAY)]
    row = release(refresh(), "torch", "2.21.0")["build"][0]
    assert row["sass"] == ["7.5", "8.0", "9.0"]
    assert "ptx" not in row, "the release before had some; this one says that it has none"
    assert "gpu-fails" not in row
    assert "sass, and that there is no PTX: architecture flags in torch/lib/libtorch_python.so" in row["source"]


def test_a_cuda_package_that_is_new_is_followed(refresh: Refreshing, served: Served) -> None:
    served.wheels += [torch("2.21.0", more=("nvidia-nvnew-cu12==1.2",)), library(CUDNN, "9.12.0.1", day=DAY)]
    served.wheels += [library("nvidia-nvnew-cu12", "1.2", day=DAY)]
    found = refresh()
    assert "nvidia-nvnew-cu12==1.2" in release(found, "torch", "2.21.0")["build"][0]["requires"]
    data = tomli.loads(found.files["libraries/nvidia-nvnew-cu12.toml"])
    assert (data["role"], data["cuda"], data["source"]) == ("nvnew", 12, "index page of nvidia-nvnew-cu12")


def test_a_new_toolkit_is_a_row_with_its_extras(refresh: Refreshing, served: Served) -> None:
    served.wheels += [
        Wheel(
            name="cuda-toolkit",
            version="12.9.0",
            requires=(
                f'{RUNTIME}==12.9.79.*; (sys_platform == "win32" or sys_platform == "linux") and extra == "cudart"',
                'nvidia-cudla==12.9.19.*; sys_platform == "linux" and platform_machine == "aarch64" and extra == "dla"',
            ),
            uploaded=DAY,
        )
    ]
    row = tomli.loads(refresh().files["toolkits.toml"])["toolkit"][-1]
    assert row == {
        "version": "12.9.0",
        "released": DAY,
        "source": "cuda_toolkit-12.9.0-py3-none-any.whl: METADATA",
        "checked": TODAY,
        "extras": {
            "cudart": f"{RUNTIME}==12.9.79.*",
            "dla": 'nvidia-cudla==12.9.19.*; platform_machine == "aarch64"',
        },
    }


def test_early_releases_are_followed_until_the_final_one(refresh: Refreshing, served: Served) -> None:
    served.wheels += [torch("2.21.0"), torch("2.21.0rc1"), torch("2.22.0rc1"), library(CUDNN, "9.12.0.1", day=DAY)]
    found = refresh()
    assert [change.version for change in found.changes if change.name == "torch"] == ["2.21.0", "2.22.0rc1"]


# -- yanks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["html", "json"])
def test_a_yank_is_noticed_and_taken_back(refresh: Refreshing, served: Served, form: Form) -> None:
    served.form = form
    served.yanked = {f"torch-2.20.0-{LINUX}.whl": "eats data", known()[-3].filename: ""}
    found = refresh()
    assert found.files["torch.toml"] == _TORCH.replace(
        "released = 2026-01-02\n", 'released = 2026-01-02\nyanked = "eats data"\n'
    )
    data = tomli.loads(found.files[f"libraries/{CUDNN}.toml"])
    assert (data["yanked"], "files" in data) == ({"9.10.2.21": "no reason given"}, False)
    served.yanked = {}
    again = refresh(found.files)
    assert again.files["torch.toml"] == _TORCH
    assert "yanked" not in tomli.loads(again.files[f"libraries/{CUDNN}.toml"])


def test_a_release_that_is_yanked_in_part_is_none(refresh: Refreshing, served: Served) -> None:
    served.wheels.append(torch("2.20.0", MAC, day=OLD))
    served.yanked = {f"torch-2.20.0-{LINUX}.whl": "eats data"}
    assert refresh().files == {}


def test_a_new_release_that_is_yanked_is_not_taken(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW[:1]
    served.yanked = {NEW[0].filename: "oops"}
    assert refresh().files == {}


def test_an_old_release_keeps_the_pythons_that_it_was_written_with(
    refresh: Refreshing, served: Served, texts: Mapping[str, str]
) -> None:
    """A pure wheel of long ago is tagged for any Python, and runs on those of its day."""
    served.wheels.append(Wheel(name="keras", version="2.3.1", tag="py2.py3-none-any", uploaded=OLD))
    old = _plain("keras", "2.3.1").partition("[[release]]")[2]
    mine = texts["keras.toml"].replace("[[release]]", f"[[release]]{old}\n[[release]]", 1)
    found = refresh({"keras.toml": mine})
    assert (found.files, found.contradictions) == ({}, [])


# -- what is there -----------------------------------------------------------------------------------------------------


def test_a_fact_is_not_overwritten_and_the_contradiction_is_told(refresh: Refreshing, texts: Mapping[str, str]) -> None:
    mine = _TORCH.replace('linux-64 = "2.28"', 'linux-64 = "2.17"').replace(
        "released = 2026-01-02", "released = 2026-01-03"
    )
    found = refresh(
        {"torch.toml": mine, f"libraries/{CUDNN}.toml": texts[f"libraries/{CUDNN}.toml"].replace("2.17", "2.5")}
    )
    assert found.files == {}
    assert [tuple(one) for one in found.contradictions] == [
        (
            "torch 2.20.0",
            "released 2026-01-03",
            "a person who measured it",
            "first uploaded 2026-01-02",
            "index page of torch",
        ),
        (
            "torch 2.20.0, linux-64",
            "runs on glibc 2.17",
            "a person who measured it",
            "its wheels need glibc 2.28",
            "index page of torch",
        ),
        (
            f"{CUDNN} 9.10.2.21, linux-64",
            "runs on glibc 2.5",
            "index page of a library of cudnn",
            "its wheels need glibc 2.17",
            f"index page of {CUDNN}",
        ),
    ]


def test_wheels_that_came_later_are_noted_in_the_row(refresh: Refreshing, served: Served) -> None:
    served.wheels.append(torch("2.20.0", LINUX.replace("312", "313"), day=DAY))
    after = refresh().files["torch.toml"]
    build = tomli.loads(after)["release"][0]["build"][0]
    assert build["pythons"] == ["3.12", "3.13"]
    assert build["source"] == "a person who measured it; Python 3.13: index page of torch"
    assert build["checked"] == TODAY
    assert 'sass = ["7.0", "9.0"] # measured\n' in after


def test_rows_older_than_what_is_followed_are_left_to_who_wrote_them(
    refresh: Refreshing, served: Served, texts: Mapping[str, str]
) -> None:
    """That a wheel of theirs is for any Python proves nothing: the row rests on what was run."""
    older = texts["torch.toml"].replace('"2.20.0"', '"1.13.0"').replace("torch==2.20.0", "torch==1.13.0")
    for day in ("313", "311"):
        served.wheels.append(torch("1.13.0", LINUX.replace("312", day), day=DAY))
    found = refresh({"torch.toml": older})
    assert release(found, "torch", "1.13.0")["build"][0]["pythons"] == ["3.12"]
    assert found.contradictions == []


def test_what_the_index_has_no_longer_stays(refresh: Refreshing, served: Served) -> None:
    served.wheels = [wheel for wheel in served.wheels if wheel.name not in {"torch", RUNTIME}]
    served.wheels.append(torch("2.21.0", cuda=None))
    found = refresh()
    assert found.gone == {"torch": ["2.20.0"]}
    assert found.notes == [f"no index has {RUNTIME}"]
    assert found.files["torch.toml"].startswith(_TORCH)


def test_a_library_written_by_hand_keeps_what_people_wrote(
    refresh: Refreshing, served: Served, texts: Mapping[str, str]
) -> None:
    name = f"libraries/{CUDNN}.toml"
    mine = texts[name].replace("[files.releases]\n", "# the last with Volta\n[files.releases]\n")
    served.wheels.append(library(CUDNN, "9.12.0.1", day=DAY))
    after = refresh({name: mine}).files[name]
    assert "# the last with Volta\n[files.releases]\n" in after
    assert [fit.version for fit in writer.fits(tomli.loads(after))] == ["9.10.2.21", "9.12.0.1"]


# -- PyTorch's own index -----------------------------------------------------------------------------------------------

BARE = "cp312-cp312-linux_x86_64"


def own(version: str, label: str, tag: str = LINUX, *, cuda: str | None = None, cudnn: str = "9.12.0.1") -> Wheel:
    """A wheel as PyTorch's own index has it: with a label, and with the CUDA that the label names."""
    digits = label.removeprefix("cu")
    named = f"{digits[:-1]}.{digits[-1]}" if label.startswith("cu") else None
    linux = 'platform_system == "Linux"'
    wheel = torch(f"{version}+{label}", tag, cuda=cuda or named, day=OLD)
    requires = tuple(f"{CUDNN}=={cudnn}; {linux}" if text.startswith(CUDNN) else text for text in wheel.requires)
    return dataclasses.replace(wheel, requires=requires)


@pytest.fixture
def mirror(served: Served) -> Iterator[Repository]:
    """A mirror of PyTorch's own index: HTML alone, a folder for each label."""
    served.wheels.append(library(CUDNN, "9.12.0.1", day=OLD))
    # which CUDA there is says which labels there can be
    served.wheels += [library("cuda-toolkit", version) for version in ("11.8.0", "12.6.3", "12.9.1")]
    with serving(Served(wheels=[torch("2.20.0+cpu", cuda=None, day=OLD)])) as at_work:
        yield at_work


def test_builds_of_its_own_index_become_rows(refresh: Refreshing, mirror: Repository, texts: Mapping[str, str]) -> None:
    mirror.served.wheels += [own("2.20.0", "cu126"), own("2.20.0", "cu129", BARE), own("2.20.0", "cu128")]
    known = refresh().files
    found = refresh(known, own=mirror.url)
    assert [(one.what, one.version, one.detail) for one in found.changes] == [
        ("added", "2.20.0+cu126", "+cu126 on linux-64"),
        ("added", "2.20.0+cu129", "+cu129 on linux-64"),
    ]
    assert found.files["torch.toml"].startswith(_TORCH)
    first, second = release(found, "torch", "2.20.0")["build"][2:]
    assert first == {
        "cuda": "12.6",
        "pythons": ["3.12"],
        "platforms": {"linux-64": "2.28"},
        "install": ["torch==2.20.0+cu126"],
        "requires": [f"{RUNTIME}==12.8.90", f"{CUDNN}==9.12.0.1"],
        "local": "cu126",
        "source": f"PyTorch's own index; torch-2.20.0+cu126-{LINUX}.whl: METADATA, torch/version.py",
        "checked": TODAY,
    }
    # a wheel for any Linux needs what the plain ones need; that of the plain CUDA is not noted
    assert (second["platforms"], second["install"]) == ({"linux-64": "2.28"}, ["torch==2.20.0+cu129"])
    assert second["source"].endswith("torch/version.py; tagged for any Linux; glibc as of the plain wheels")
    CompatibilityMatrix({**texts, **known, **found.files}).check()
    again = refresh({**known, **found.files}, own=mirror.url)
    assert (again.files, again.contradictions, again.notes) == ({}, [], [])
    assert f":{mirror.server_port}" not in found.files["torch.toml"]


def test_its_pages_alone_are_asked_for_when_nothing_is_new(refresh: Refreshing, mirror: Repository) -> None:
    mirror.served.tags = True
    known = refresh(own=mirror.url).files
    mirror.served.asked.clear()
    mirror.served.sent = 0
    assert refresh(known, own=mirror.url).files == {}
    assert all(path.endswith("/torch/") for path in mirror.served.asked)
    assert len(mirror.served.asked) == len(set(mirror.served.asked))
    page = sum(len(path) for path in ("no",)) * (len(mirror.served.asked) - 1)
    assert mirror.served.sent <= page


def test_gpus_are_those_of_the_nearest_build_with_the_same_cuda(
    refresh: Refreshing, served: Served, mirror: Repository
) -> None:
    served.wheels += [torch("2.21.0", cuda="12.9"), torch("2.21.0", MAC, cuda=None)]
    mirror.served.wheels += [own("2.21.0", "cu128"), own("2.21.0", "cpu"), own("2.21.0", "cpu", ARM)]
    row = release(refresh(own=mirror.url), "torch", "2.21.0")
    labelled = {(build.get("local"), *build["platforms"]): build for build in row["build"] if "local" in build}
    # none is assumed once the index was read; on aarch64 there is no plain wheel, and this is the one
    assert list(labelled) == [("cpu", "linux-64"), ("cpu", "linux-aarch64"), ("cu128", "linux-64")]
    assert "own index was not read" not in str(row)
    made = labelled["cu128", "linux-64"]
    assert (made["sass"], made["ptx"]) == (["7.0", "9.0"], ["9.0"])
    assert made["gpu-fails"][0]["reason"] == "seen to fail"
    assert "sass and ptx assumed from 2.20.0" in made["source"]


HAND = """
[[release.build]]
cuda = "12.6"
pythons = ["3.11", "3.12"]
platforms = { linux-64 = "2.17" }
install = ["torch==2.20.0+cu126"]
requires = ["nvidia-cudnn-cu12==9.10.2.21"] # as they say
local = "cu126"
source = "a table of theirs"
checked = 2026-11-21
"""


def test_what_was_written_by_hand_stays_and_is_contradicted(refresh: Refreshing, mirror: Repository) -> None:
    mirror.served.wheels += [own("2.20.0", "cu126", cuda="12.7"), own("2.20.0", "cu126", ARM)]
    found = refresh({"torch.toml": _TORCH + HAND}, own=mirror.url)
    assert found.files["torch.toml"].startswith(_TORCH + HAND)
    assert [change.detail for change in found.changes if "+" in change.version] == ["+cu126 on linux-aarch64"]
    page, wheel = "PyTorch's own index, page of cu126", f"torch-2.20.0+cu126-{LINUX}.whl"
    about, source = "torch 2.20.0+cu126, linux-64", "a table of theirs"
    assert [tuple(one) for one in found.contradictions] == [
        (about, "wheels for Python 3.11", source, "no such wheel", page),
        (about, "runs on glibc 2.17", source, "its wheels need glibc 2.28", page),
        (about, "CUDA 12.6", source, "CUDA 12.7", f"{wheel}: torch/version.py"),
        (about, f"needs {CUDNN}==9.10.2.21", source, f"needs {CUDNN}==9.12.0.1", f"{wheel}: METADATA"),
        # what a table of theirs leaves out
        (about, "needs 1 of the packages followed", source, f"needs {RUNTIME}==12.8.90", f"{wheel}: METADATA"),
    ]


WINDOWS = "cp312-cp312-win_amd64"


def other(version: str, label: str, tag: str, *requires: str) -> Wheel:
    """A wheel of its own index for another accelerator than CUDA: its module names no CUDA."""
    wheel = torch(f"{version}+{label}", tag, cuda=None, day=OLD)
    return dataclasses.replace(wheel, requires=("filelock", *requires))


def test_builds_for_other_accelerators_become_rows_of_those(
    refresh: Refreshing, mirror: Repository, texts: Mapping[str, str]
) -> None:
    """They name no CUDA either, and are none for the CPU."""
    mirror.served.wheels += [
        other("2.20.0", "rocm6.4", LINUX, "pytorch-triton-rocm==3.5.1"),
        other("2.20.0", "xpu", BARE, "triton-xpu==3.6.0", "intel-sycl-rt==2025.2"),
        other("2.20.0", "xpu", WINDOWS),
    ]
    known = refresh().files
    found = refresh(known, own=mirror.url)
    rows = {
        (build["local"], *build["platforms"]): build
        for build in release(found, "torch", "2.20.0")["build"]
        if build.get("local", "cpu") != "cpu"
    }
    assert list(rows) == [("rocm6.4", "linux-64"), ("xpu", "linux-64"), ("xpu", "win-64")]
    rocm, linux, windows = rows.values()
    assert (rocm["rocm"], rocm["beside"], rocm["install"]) == (
        "6.4",
        ["pytorch-triton-rocm"],
        ["torch==2.20.0+rocm6.4"],
    )
    assert (linux["xpu"], linux["beside"], linux["platforms"]) == (True, ["triton-xpu"], {"linux-64": "2.28"})
    assert (windows["xpu"], "beside" in windows) == (True, False)
    for row in rows.values():
        assert "cuda" not in row
        assert "sass" not in row
        assert "which devices it has code for was not read" in row["source"]
    matrix = CompatibilityMatrix({**texts, **known, **found.files})
    matrix.check()
    built = {build.accelerator.name for build in matrix.framework("torch").releases[-1].builds}
    assert {"rocm6", "xpu"} <= built
    again = refresh({**known, **found.files}, own=mirror.url)
    assert (again.files, again.contradictions, again.notes) == ({}, [], [])


def test_what_only_its_own_index_has_for_windows_becomes_rows(
    refresh: Refreshing, mirror: Repository, texts: Mapping[str, str]
) -> None:
    """There the wheels bring CUDA's libraries themselves, and require none."""
    mirror.served.wheels += [own("2.20.0", "cu126", WINDOWS), own("2.20.0", "cu118", WINDOWS)]
    kinds = texts["accelerators.toml"].replace('"linux-aarch64"]', '"linux-aarch64", "win-64"]', 1)
    known = {**refresh().files, "accelerators.toml": kinds}
    found = refresh(known, own=mirror.url)
    rows = [build for build in release(found, "torch", "2.20.0")["build"] if "win-64" in build["platforms"]]
    made = {build["local"]: build for build in rows if build.get("local", "").startswith("cu")}
    assert {label: (row["cuda"], row["requires"]) for label, row in made.items()} == {
        "cu118": ("11.8", []),
        "cu126": ("12.6", []),
    }
    CompatibilityMatrix({**texts, **known, **found.files}).check()


def test_a_label_of_a_major_that_is_not_known_is_left_out(refresh: Refreshing, mirror: Repository) -> None:
    row = HAND.replace('cuda = "12.6"', 'rocm = "6.4"').replace("cu126", "rocm99.0")
    mirror.served.wheels.append(other("2.20.0", "rocm99.0", ARM))
    found = refresh({"torch.toml": _TORCH + row}, own=mirror.url)
    assert found.notes == [
        "builds of PyTorch's own index for rocm99.0 were left out: accelerators.toml has no row for what that names"
    ]


def test_a_build_that_is_not_what_its_label_says_is_left_out(refresh: Refreshing, mirror: Repository) -> None:
    silent = dataclasses.replace(own("2.20.0", "cu118"), requires=("filelock",))
    mirror.served.wheels += [own("2.20.0", "cu126", cuda="12.7"), silent]
    found = refresh(refresh().files, own=mirror.url)
    assert "torch.toml" not in found.files
    assert found.notes == [
        "torch 2.20.0+cu126 was left out: its wheel says CUDA 12.7, and its label 12.6",
        "torch 2.20.0+cu118: left out, for their wheels require no cuDNN, and what they bring is not known",
    ]


def test_builds_for_a_cuda_without_a_driver_are_left_out(
    refresh: Refreshing, served: Served, mirror: Repository
) -> None:
    served.wheels.append(library("cuda-toolkit", "14.0.0"))
    mirror.served.wheels.append(own("2.20.0", "cu140"))
    found = refresh(own=mirror.url)
    assert "torch.toml" not in found.files
    assert found.notes == [
        "builds of PyTorch's own index for cu140 were left out: accelerators.toml knows no driver for that CUDA"
    ]


def test_what_its_own_index_has_no_longer_stays(refresh: Refreshing, mirror: Repository) -> None:
    mirror.served.wheels[:] = [own("2.21.0", "cpu")]
    found = refresh(refresh().files, own=mirror.url)
    assert (found.files, found.gone) == ({}, {"torch of its own index": ["2.20.0+cpu"]})


@pytest.mark.parametrize(
    ("fault", "at", "what"),
    [
        ("500", "/cu126/", "answered 500"),
        ("login", "/cpu/", "names no file (is it a login page?)"),
        ("garbage", r"/files/torch.*cu126", "is not a wheel"),
        ("404", "/simple/", "PyTorch's own index has no builds of torch with any label"),
        ("403", "/simple/", "PyTorch's own index has no builds of torch with any label"),
    ],
)
def test_an_own_index_that_fails_or_lies_gives_nothing(
    refresh: Refreshing, mirror: Repository, monkeypatch: pytest.MonkeyPatch, fault: Fault, *, at: str, what: str
) -> None:
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))
    mirror.served.wheels.append(own("2.20.0", "cu126"))
    mirror.served.fault, mirror.served.at = fault, at
    with pytest.raises(OutsideError) as caught:
        refresh(own=mirror.url)
    assert what in caught.value.message


def test_a_store_that_forbids_what_it_has_not_is_understood(refresh: Refreshing, mirror: Repository) -> None:
    mirror.served.wheels.append(own("2.20.0", "cu126"))
    mirror.served.fault, mirror.served.at = "403", "/simple/(?!cpu|cu126)"
    assert "2.20.0+cu126" in refresh(own=mirror.url).files["torch.toml"]


def test_without_ranges_its_builds_are_given_up(
    refresh: Refreshing, mirror: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = refresh().files
    monkeypatch.setattr(client, "WHOLE", 200_000)
    mirror.served.ranges = False
    mirror.served.wheels.append(own("2.20.0", "cu126"))
    found = refresh(known, own=mirror.url)
    assert found.files == {}
    assert found.notes[0].startswith("PyTorch's own index was not read: the server of torch-2.20.0+cu126-")


# -- indexes that fail and lie -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "at", "what"),
    [
        ("500", r"/simple/jaxlib", "answered 500"),
        ("500", r"/files/", "answered 500"),
        ("404", r"/files/", "answered 404"),
        ("login", r"/simple/torch/", "names no file (is it a login page?)"),
        ("empty", r"/simple/torch/", "names no file (is it a login page?)"),
        ("garbage", r"/simple/torch/", "is not a page of an index"),
        ("garbage", r"/files/torch", "is not a wheel"),
        ("truncated", r"/simple/torch/", "broke"),
        ("truncated", r"/files/", "broke"),
        ("wrong sidecar", r"/files/", "is not what the index names"),
        ("404", r"/simple/", "has none of the projects"),
    ],
)
def test_an_index_that_fails_or_lies_gives_nothing(
    refresh: Refreshing, served: Served, monkeypatch: pytest.MonkeyPatch, fault: Fault, *, at: str, what: str
) -> None:
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))
    served.wheels += [*NEW, keras("3.21.0")]
    served.fault, served.at, served.sidecar = fault, at, fault == "wrong sidecar"
    with pytest.raises(OutsideError) as caught:
        refresh()
    assert what in caught.value.message
    assert caught.value.hints


def test_a_wheel_that_is_another_than_its_name_says_is_refused(refresh: Refreshing, served: Served) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Other(Wheel):
        @property
        def metadata(self) -> bytes:
            return super().metadata.replace(b"Version: 3.21.0", b"Version: 3.99.0")

    served.wheels.append(Other(name="keras", version="3.21.0", requires_python=ONLY, uploaded=DAY))
    with pytest.raises(OutsideError, match=r"says in its METADATA that it is keras 3\.99\.0"):
        refresh()


def test_a_wheel_that_is_read_whole_has_its_hash(refresh: Refreshing, served: Served) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Changed(Wheel):
        @property
        def sha256(self) -> str:
            return "0" * 64

    served.ranges = False
    served.wheels.append(Changed(name="keras", version="3.21.0", requires_python=ONLY, uploaded=DAY))
    with pytest.raises(OutsideError, match="is not the file that the index names"):
        refresh()


def test_without_ranges_a_large_wheel_is_given_up(
    refresh: Refreshing, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WHOLE", 200_000)
    served.ranges = False
    served.wheels += [torch("2.21.0"), keras("3.21.0")]
    found = refresh()
    assert sorted(found.files) == ["keras.toml"]
    (note,) = found.notes
    assert note == (
        f"torch 2.21.0 was left out: the server of torch-2.21.0-{LINUX}.whl knows no ranges, and the wheel is too"
        " large to be downloaded for what it says of itself"
    )


def test_a_requirement_that_makes_no_sense_is_refused(refresh: Refreshing, served: Served) -> None:
    served.wheels.append(torch("2.21.0", more=("nvidia-x-cu12 >=>",)))
    with pytest.raises(OutsideError, match="is not a requirement"):
        refresh()


def test_damaged_caches_are_as_good_as_none(refresh: Refreshing, served: Served, tmp_path: Path) -> None:
    served.tags = True
    served.wheels += NEW
    first = refresh()
    facts, pages = [*(tmp_path / "facts").iterdir()], [*(tmp_path / "pages").iterdir()]
    damaged = [*facts, *pages]
    for position, file in enumerate(damaged):
        file.write_bytes(b"" if position % 2 else file.read_bytes()[:-3] + b"abc")
    second = refresh()
    assert (second.files, second.wheels) == (first.files, first.wheels)
    assert facts
    assert len(pages) == first.pages - 4, "every page but those of JAX's parts for ROCm, which there are none of"


def test_it_ends_when_it_is_told_to(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    served.delay = 0.05
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        refresh(cancel=cancel)


def test_a_slow_index_is_waited_for(refresh: Refreshing, served: Served) -> None:
    served.delay = 0.2
    served.wheels += NEW
    assert "torch.toml" in refresh().files


@pytest.mark.parametrize("comment", [b"", b"said at the end"])
@pytest.mark.parametrize("name", ["a/METADATA", "a/ä"])
def test_a_list_of_files_is_searched_as_zipfile_reads_it(tmp_path: Path, comment: bytes, name: str) -> None:
    file = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment
        for path in ("a/first", name, "b/last"):
            archive.writestr(path, path.encode() * 99)
    with wheels.WheelReader(cache=None) as reader:
        found = reader.members(str(file), filename=file.name, sha256="", wanted=lambda path: path.startswith("a/"))
    assert found is not None
    assert found["a/first"] == b"a/first" * 99
    assert set(found) <= {"a/first", name}


# -- where it goes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(texts: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small matrix in the place of the one that ships with kgen."""
    folder = tmp_path / "kgen" / "matrix"
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv(origin.FOLDER_VARIABLE, str(folder))
    return folder


class Command:
    """`kgen matrix refresh` in a project, without a process of its own: its status, and what it says."""

    def __init__(self, project: Path, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
        self.project = project
        self.cache = cache
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        status = main.run(["matrix", *words])
        said = self._capsys.readouterr()
        return status, said.out, said.err


@pytest.fixture
def command(
    shipped: Path,
    repository: Repository,
    project: Path,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    assert shipped.is_dir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", repository.url)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (project / "kgen.toml").write_text('backends = ["torch"]\n', encoding="utf-8")
    monkeypatch.chdir(project)
    return Command(project, capsys, tmp_path / "cache")


def newest(name: str = "torch") -> str:
    return str(origin.current().framework(name).releases[-1].version)


def test_a_refresh_is_in_use_from_then_on(command: Command, served: Served, tmp_path: Path) -> None:
    served.wheels += NEW
    before = origin.current().revision
    status, out, err = command("refresh")
    assert (status, newest()) == (0, "2.21.0")
    assert "added  torch" in out
    assert err.endswith(f"in {tmp_path / 'cache/matrix'} ({PAGES} projects asked for, 2 wheels read)\n")
    assert origin.current().revision != before
    assert command("refresh")[2] == (
        f"the matrix is up to date: {origin.current().revision} ({PAGES} projects asked for, 0 wheels read)\n"
    )
    _, out, err = command("show", "torch")
    assert "2.21.0" in out
    assert f"matrix {origin.current().revision}, refreshed for this user on" in err


def test_check_says_what_would_change_and_writes_nothing(command: Command, served: Served, tmp_path: Path) -> None:
    assert command("refresh", "--check")[0] == 0
    served.wheels += NEW
    status, out, err = command("refresh", "--check")
    assert (status, newest()) == (1, "2.20.0")
    assert "added  torch" in out
    assert err.endswith("\nhint: kgen matrix refresh\n")
    assert not (tmp_path / "cache/matrix").exists()
    status, out, _ = command("refresh", "--check", "--json")
    data = json.loads(out)
    assert (status, data["up-to-date"], data["written"]) == (1, False, None)
    assert {"what": "added", "project": "torch", "release": "2.21.0", "detail": "CUDA 12.8, CPU, +cpu"} in data[
        "changes"
    ]


def test_a_project_has_a_matrix_of_its_own(command: Command, served: Served, repository: Repository) -> None:
    served.wheels += NEW
    assert command("refresh", "--project")[0] == 0
    folder = command.project / "matrix"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.toml")) == [
        f"libraries/{CUDNN}.toml",
        "refresh.toml",
        "torch.toml",
    ]
    assert f":{repository.server_port}" not in "".join(path.read_text() for path in folder.rglob("*.toml"))
    assert newest() == "2.21.0"
    assert "refreshed for this project on" in command("show", "torch")[2]
    # it is one for all who work on the project: what a user has refreshed for themselves changes nothing in it
    served.wheels.append(torch("2.22.0"))
    assert command("refresh")[0] == 0
    assert newest() == "2.21.0"
    assert command("refresh", "--project")[0] == 0
    assert newest() == "2.22.0"


def test_a_folder_of_another_kind_is_left_alone(command: Command, served: Served) -> None:
    served.wheels += NEW
    (command.project / "matrix").mkdir()
    (command.project / "matrix/mine.toml").write_text("x = 1\n", encoding="utf-8")
    status, _, err = command("refresh", "--project")
    assert status == 2
    assert err.startswith(f"error: {command.project / 'matrix'} is in the way:")
    assert newest() == "2.20.0"


def test_kgens_own_matrix_is_refreshed_in_its_repository(
    command: Command, served: Served, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shipped.parent / "kgen.toml").write_text("", encoding="utf-8")
    monkeypatch.chdir(shipped.parent)
    served.wheels += NEW
    kept = {name: (shipped / name).read_bytes() for name in ("jax.toml", "accelerators.toml")}
    assert command("refresh", "--project", "--check")[0] == 1
    assert (shipped / "torch.toml").read_text() == _TORCH
    assert command("refresh", "--project")[0] == 0
    assert (shipped / "torch.toml").read_text().startswith(_TORCH)
    assert newest() == "2.21.0"
    assert {name: (shipped / name).read_bytes() for name in kept} == kept
    assert not (shipped / origin.MARK).exists()
    assert "as kgen" in command("show", "torch")[2]


def test_a_newer_kgen_is_not_hidden_by_an_old_refresh(command: Command, served: Served, shipped: Path) -> None:
    served.wheels += NEW
    served.yanked = {"keras-3.20.0-py3-none-any.whl": "oops"}
    assert command("refresh")[0] == 0
    heading = "[[release]]"
    _, rows = writer.rows(_TORCH, heading)
    newer = {
        "2.20.0": rows["2.20.0"].replace('cuda = "12.8"', 'cuda = "12.9"'),
        "2.30.0": rows["2.20.0"].replace("2.20.0", "2.30.0"),
    }
    (shipped / "torch.toml").write_text(writer.with_rows(_TORCH, heading, newer), encoding="utf-8")
    library_file = shipped / f"libraries/{CUDNN}.toml"
    library_file.write_text(
        library_file.read_text().replace(
            '"9.10.2.21" = 2026-01-02\n', '"9.10.2.21" = 2026-01-02\n"9.99.0.1" = 2026-01-03\n'
        )
    )
    keras_file = shipped / "keras.toml"
    keras_file.write_text(keras_file.read_text() + "\n# newer\n", encoding="utf-8")
    matrix = origin.current()
    matrix.check()
    releases = {str(release.version): release for release in matrix.framework("torch").releases}
    assert list(releases) == ["2.20.0", "2.21.0", "2.30.0"]
    assert releases["2.20.0"].builds[0].accelerator.number == "12.9"
    found = matrix.library(CUDNN)
    assert found is not None
    assert [str(release.version) for release in found.releases] == ["9.10.2.21", "9.12.0.1", "9.99.0.1"]
    assert matrix.framework("keras").releases[0].yanked == "oops"


@pytest.mark.parametrize("file", ["torch.toml", "refresh.toml"])
def test_a_damaged_refresh_is_not_used(command: Command, served: Served, tmp_path: Path, file: str) -> None:
    served.wheels += NEW
    assert command("refresh")[0] == 0
    damaged = tmp_path / "cache/matrix" / file
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert newest() == "2.20.0"
    assert f"{damaged} is damaged" in command("show", "torch")[2]
    assert command("refresh")[0] == 0
    assert newest() == "2.21.0"


def test_a_disk_that_is_full_leaves_the_old_matrix(
    command: Command, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.wheels += NEW
    assert command("refresh")[0] == 0
    before = tree(tmp_path / "cache/matrix")
    served.wheels.append(torch("2.22.0"))

    def full(_handle: int, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_fill", full)
        status, _, err = command("refresh")
    assert status == 4
    assert "No space left on device" in err
    assert tree(tmp_path / "cache/matrix") == before
    assert newest() == "2.21.0"


def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(
    command: Command, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "file/cache"))
    status, _, err = command("refresh")
    assert status == 4
    assert err == (
        f"error: {tmp_path / 'file/cache'} cannot be written: Not a directory\n\n"
        "hint: set KGEN_CACHE_DIR to a folder of yours\n"
    )
    assert served.asked == []


def test_a_failed_refresh_leaves_the_old_matrix(command: Command, served: Served, tmp_path: Path) -> None:
    served.wheels += NEW
    assert command("refresh")[0] == 0
    before = tree(tmp_path / "cache/matrix")
    served.wheels.append(torch("2.22.0"))
    served.fault, served.at = "garbage", "/files/torch-2.22.0"
    status, _, err = command("refresh")
    assert status == 4
    assert "has under this name is not a wheel" in err
    assert tree(tmp_path / "cache/matrix") == before


def test_several_indexes_are_asked_in_uvs_order(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.wheels += NEW
    with serving(Served(wheels=[torch("2.50.0")])) as first:
        monkeypatch.setenv("UV_INDEX", first.url)
        assert command("refresh")[0] == 0
        assert newest() == "2.50.0"
        assert first.served.asked.count("/simple/jax/") == served.asked.count("/simple/jax/") == 1
        assert "/simple/torch/" not in served.asked


def test_credentials_are_sent_and_never_shown(
    command: Command, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", repository.url.replace("http://", "http://me:secret@"))
    status, out, err = command("refresh", "--json")
    assert status == 0
    assert "secret" not in out + err
    repository.served.fault = "500"
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))
    status, out, err = command("refresh")
    assert status == 4
    assert "secret" not in out + err


def test_its_own_index_is_asked_where_that_is_allowed(command: Command, mirror: Repository) -> None:
    mirror.served.wheels.append(own("2.20.0", "cu126"))
    assert command("refresh")[0] == 0
    assert mirror.served.asked == []
    status, out, err = command("refresh", "--torch-index", mirror.url, "--check")
    assert status == 1
    assert "added  torch    2.20.0+cu126  +cu126 on linux-64" in out
    (command.project / "kgen.toml").write_text(
        f'backends = ["torch"]\ntorch-index = "{mirror.url}"\n', encoding="utf-8"
    )
    assert command("refresh")[0] == 0
    assert [build.local for build in origin.current().framework("torch").releases[-1].builds] == [None, "cpu", "cu126"]
    assert command("refresh")[2].startswith("the matrix is up to date")
    # a newer kgen that has not this build hides it no more than a whole release
    assert origin.merged("torch.toml", _TORCH, (command.cache / "matrix/torch.toml").read_text()).count("cu126") == 3
    status, _, err = command("refresh", "--torch-index", "https://me:secret@mirror.example/whl")
    assert (status, "secret" in err) == (2, False)
    assert err.startswith("error: `--torch-index`: ")


# -- processes ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_it_and_leaves_the_old_matrix(kgen: Kgen, repository: Repository, tmp_path: Path) -> None:
    repository.served.wheels += NEW
    repository.served.fault, repository.served.at = "hang", "/files/torch"
    cache = tmp_path / "cache"
    process = kgen.at(repository.url).start("matrix", "refresh", KGEN_CACHE_DIR=str(cache))
    assert repository.hanging.wait(60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.endswith("interrupted; nothing is half-written\n")
    assert not (cache / "matrix").exists()
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


def test_two_at_once_wait_for_each_other(kgen: Kgen, repository: Repository, tmp_path: Path) -> None:
    repository.served.wheels += NEW
    repository.served.delay = 0.05
    cache = str(tmp_path / "cache")
    pair = [kgen.at(repository.url).start("matrix", "refresh", "--json", KGEN_CACHE_DIR=cache) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sorted(json.loads(out)["up-to-date"] for out, _ in told) == [False, True]
    assert sum("is at work in" in err for _, err in told) <= 1


# -- shared libraries --------------------------------------------------------------------------------------------------

PROVIDER = f"""\
# Which project gives which.

[[provider]]
cuda = "12"
project = "{CUDNN}"
versions = ["8.9.0.1", "9.10.2.21"]
sonames = ["libcudnn.so.8", "libcudnn.so.9", "libodd.so.1.2"]
source = "made up"
checked = 2026-01-01
"""


def cudnn(version: str, *names: str, tag: str = "manylinux_2_17_x86_64") -> Wheel:
    paths = {f"nvidia/cudnn/lib/{name}": b"x" for name in names}
    return Wheel(name=CUDNN, version=version, tag=f"py3-none-{tag}", requires_python=">=3", uploaded=OLD, files=paths)


def test_the_names_of_libraries_are_those_of_the_newest_of_each_major(refresh: Refreshing, served: Served) -> None:
    served.wheels += [
        cudnn("8.9.0.1", "libcudnn.so.8", "libodd.so.1.2"),
        cudnn("9.11.0.1", "libcudnn.so.9", "libcudnn_ops.so.9", "libcudnn-x.so.9.1", "libcudnn.so", "libOpenCL.so.1"),
        cudnn("9.11.0.1", "cudnn64_9.dll", "cudnnLt64_9.dll", "cudnn.lib", "cupti64_2025.3.1.dll", tag="win_amd64"),
        cudnn("9.12.0.1rc1", "libcudnn_early.so.9"),
    ]
    found = refresh({sonames.FILE: PROVIDER})
    text = found.files[sonames.FILE]
    (row,) = tomli.loads(text)["provider"]
    assert row["versions"] == ["8.9.0.1", "9.11.0.1"]
    assert row["sonames"] == [
        "libcudnn.so.8", "libcudnn.so.9", "libcudnn_ops.so.9", "libodd.so.1.2", "cudnn64_9.dll", "cudnnlt64_9.dll"
    ]  # fmt: skip
    assert (row["checked"], text.partition("[[")[0]) == (TODAY, "# Which project gives which.\n\n")
    said = "has cudnn64_9.dll, cudnnlt64_9.dll, libcudnn_ops.so.9"
    assert [one for one in found.changes if one.what == "changed"] == [Change("changed", CUDNN, "9.11.0.1", said)]
    asked = found.wheels
    assert asked >= len(row["versions"])
    again = refresh({**found.files, sonames.FILE: text})
    assert (sonames.FILE in again.files, again.wheels) == (False, 0)


def test_of_two_lists_of_libraries_the_younger_counts() -> None:
    younger = PROVIDER.replace("2026-01-01", "2026-02-01")
    assert origin.merged(sonames.FILE, PROVIDER, younger) == younger
    assert origin.merged(sonames.FILE, younger, PROVIDER) == younger


# -- conda's names -----------------------------------------------------------------------------------------------------

LISTED = names.text({"ray": "ray", "left": "left_it"}, "0.1.0", dt.date(2026, 1, 1))


def list_of_names(version: str, rows: object) -> Wheel:
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return Wheel(name=names.PROJECT, version=version, files={names.MEMBER: content})


def named(project: str, package: str) -> dict[str, str]:
    return {"pypi_name": project, "conda_name": package}


def test_a_newer_list_of_names_takes_the_place_of_the_old_one(refresh: Refreshing, served: Served) -> None:
    rows = [
        ("Hugging.Face_hub", "huggingface_hub"),
        ("same", "same"),
        ("ray", "ray-core"),
        ("a" * 40, "x"),
        ("x y", "z"),
    ]
    served.wheels.append(list_of_names("0.2.0", {project: named(project, package) for project, package in rows}))
    served.wheels.append(list_of_names("0.3.0rc1", {"x": named("x", "early")}))
    found = refresh({names.FILE: LISTED})
    data = tomli.loads(found.files[names.FILE])
    assert data["names"] == {"hugging-face-hub": "huggingface_hub", "ray": "ray-core"}
    assert (data["origin"]["version"], data["origin"]["checked"]) == ("0.2.0", TODAY)
    (change,) = found.changes
    assert (change.what, change.name, change.version) == ("changed", names.PROJECT, "0.2.0")
    assert change.detail == "3 of conda's names of 2"
    matrix = CompatibilityMatrix({names.FILE: found.files[names.FILE]})
    assert matrix.conda_names == data["names"]
    assert not refresh({names.FILE: found.files[names.FILE]}).files


@pytest.mark.parametrize("rows", [b"{", b"[]", b'{"a": 1}', b'{"a": {"pypi_name": "a"}}', b"{}"])
def test_a_list_of_names_that_is_none_is_told_and_left(refresh: Refreshing, served: Served, rows: bytes) -> None:
    served.wheels.append(list_of_names("0.2.0", rows))
    found = refresh({names.FILE: LISTED})
    assert names.FILE not in found.files
    (note,) = found.notes
    assert note.startswith(f"{names.MEMBER} of {names.PROJECT} ")


def test_without_the_list_of_names_the_rest_is_refreshed(refresh: Refreshing, served: Served) -> None:
    served.wheels += NEW
    found = refresh({names.FILE: LISTED})
    assert found.notes == [f"no index has {names.PROJECT}"]
    assert release(found, "torch", "2.21.0")


@pytest.mark.parametrize(("own", "refreshed", "newer"), [("0.1.0", "0.10.0", "0.10.0"), ("0.9.0", "0.8.0", "0.9.0")])
def test_of_two_lists_of_names_the_newer_counts(own: str, refreshed: str, newer: str) -> None:
    """After an upgrade of kgen, which may know more than a refresh of before."""
    texts = [names.text({"a": f"of-{version}"}, version, TODAY) for version in (own, refreshed)]
    assert tomli.loads(origin.merged(names.FILE, *texts))["names"] == {"a": f"of-{newer}"}
    assert origin.merged(names.FILE, texts[0], "x = 1") == "x = 1"


def test_the_names_are_no_part_of_the_revision(texts: Mapping[str, str]) -> None:
    """No wheel depends on them, and a conda lock holds those that it took."""
    assert CompatibilityMatrix({**texts, names.FILE: LISTED}).revision == CompatibilityMatrix(texts).revision
