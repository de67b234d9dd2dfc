"""What every test can rely on: a fixed environment, no way out to the network, and an index of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kgen import resources, uvtool
from kgen.matrix.compatibility import CompatibilityMatrix, load
from kgen.matrix.origin import FOLDER_VARIABLE

# The modules beside this one are `tests.…` for mypy and for Python alike.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.schemas import LIGHT

sys.path.insert(0, str(LIGHT))

from tests.channel import ChannelServer
from tests.channel import serving as serving_channel
from tests.command import PYTHON, Kgen, new_cache
from tests.conda_packages import Channel, small_channel
from tests.forks import Forks, possible
from tests.index import Index, serving
from tests.order import import_part, spread
from tests.recorded import MATRIX
from tests.wheelhouse import Wheelhouse

_FOREIGN = ("UV_", "PIP_", "KGEN_", "KERAS_", "XDG_", "LC_", "CONDA_", "FORCE_", "CLICOLOR")
_FOREIGN_NAMES = frozenset({"COLORTERM", "COLUMNS", "LINES", "LANGUAGE", "NO_COLOR", "VIRTUAL_ENV"})
_OURS_ALONE = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS"})
"""Nothing that a test starts has these. With the first, each of thousands of processes compiles all that it
imports anew, PyTorch too; the second says which of kgen's tests run, not which of a project's."""

_LONG = ("frameworks", "long")
"""The marks of tests that take a minute where most take a second."""

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
_NOBODY = "http://127.0.0.1:9"


def _is_foreign(name: str) -> bool:
    return name.startswith(_FOREIGN) or name in _FOREIGN_NAMES or name.lower() in _PROXIES


def pytest_configure() -> None:
    """Ctrl-C is tested, and a shell starts what runs in its background with ctrl-C ignored, which children inherit."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each of pytest-xdist's workers imports its part of the test modules, before it collects all of them."""
    here = Path(__file__).resolve().parent
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    everything = any((session.config.invocation_params.dir / word).resolve() == here for word in session.config.args)
    if workers == 1 or not everything or sys.dont_write_bytecode:
        return
    import_part(here, int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")), workers)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `frameworks` or `long` begins first, in each of pytest-xdist's workers."""
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if workers is None:
        return
    long = [any(map(item.get_closest_marker, _LONG)) for item in items]
    first, rest = (
        [item for item, is_long in zip(items, long, strict=True) if is_long is wanted] for wanted in (True, False)
    )
    items[:] = spread(first, rest, int(workers))


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The same environment on every machine, in which nothing leads out of it; gives the one from outside."""
    outside = {name: value for name, value in os.environ.items() if name not in _OURS_ALONE}
    home = tmp_path_factory.mktemp("home")
    caches = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(_is_foreign, outside):
            patch.delenv(name)
        for name in _OURS_ALONE:
            patch.delenv(name, raising=False)
        for name, value in {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CONFIG_DIRS": str(home / "no-config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "NO_COLOR": "1",
            "KGEN_CACHE_DIR": str(caches / "kgen"),
            FOLDER_VARIABLE: str(MATRIX),
            "UV_CACHE_DIR": str(caches / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_DEFAULT_INDEX": f"{_NOBODY}/simple",
            "UV_HTTP_RETRIES": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{_NOBODY}/simple",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "HTTP_PROXY": _NOBODY,
            "HTTPS_PROXY": _NOBODY,
            "ALL_PROXY": _NOBODY,
            "NO_PROXY": "127.0.0.1,localhost",
        }.items():
            patch.setenv(name, value)
        yield outside


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _environment: Mapping[str, str]) -> None:
    """Only a test marked `network` gets out, and sees the settings of the machine for it."""
    if request.node.get_closest_marker("network") is not None:
        for name in filter(_is_foreign, list(os.environ)):
            monkeypatch.delenv(name)
        for name in filter(_is_foreign, _environment):
            monkeypatch.setenv(name, _environment[name])
        # the home folder is still the tests' own, one per process: with uv's cache in it, each would fetch all again
        monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache(_environment)))
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - as in typeshed
        _refuse_foreign(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:  # noqa: ANN401 - as in typeshed
        _refuse_foreign(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


def uv_cache(outside: Mapping[str, str]) -> Path:
    """Where uv's cache is outside of the tests: what was fetched for one run is there for the next."""
    home = Path(outside.get("HOME") or Path.home())
    caches = outside.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(outside.get("UV_CACHE_DIR") or Path(caches, "uv"))


def _refuse_foreign(address: object) -> None:
    if not isinstance(address, tuple):
        return  # a socket in the file system
    host = str(address[0])
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    pytest.fail(f"a connection to {host}, in a test that is not marked `network`")


@pytest.fixture(scope="session")
def matrix() -> CompatibilityMatrix:
    """The frozen copy, whose answers the tests expect."""
    return load(MATRIX)


@pytest.fixture(scope="session")
def shipped_matrix() -> CompatibilityMatrix:
    """The matrix that comes with kgen; it may have been refreshed, and no test expects an answer of it."""
    return load(resources.folder("matrix"))


@pytest.fixture(scope="session")
def wheelhouse(matrix: CompatibilityMatrix) -> Wheelhouse:
    """Every wheel that the matrix speaks of; to be copied by who changes it."""
    return Wheelhouse(matrix, [PYTHON, f"{sys.version_info.major}.{sys.version_info.minor}"])


@pytest.fixture(scope="session")
def healthy(wheelhouse: Wheelhouse) -> Iterator[Index]:
    """An index where all is well; its answers may be in uv's cache."""
    with serving(wheelhouse) as index:
        yield index


@pytest.fixture
def index(wheelhouse: Wheelhouse) -> Iterator[Index]:
    """An index of the test's own, to be told to misbehave and to have its wheels changed."""
    with serving(wheelhouse.copy()) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def interpreter() -> str:
    """The Python whose answers the tests expect, for what is to run on it."""
    found = uvtool.find_interpreter(uvtool.find(), PYTHON)
    if found is None:
        pytest.skip(f"no CPython {PYTHON} on this machine")
    return found


@pytest.fixture(scope="session")
def forks(_environment: Mapping[str, str]) -> Iterator[Forks | None]:
    """What calls of kgen are forked from; None where each is to be a process of its own."""
    if _environment.get("KGEN_TESTS_FORK") == "0" or not possible():
        yield None
        return
    # the path of a socket may have a hundred letters, and pytest's folders are longer
    with tempfile.TemporaryDirectory(prefix="kgen-forks-") as folder:
        found = Forks(Path(folder))
        yield found
        found.end()


@pytest.fixture
def kgen(project: Path, tmp_path: Path, healthy: Index, forks: Forks | None) -> Kgen:
    """The command in an empty folder, with the healthy index."""
    return Kgen(folder=project, temporary=tmp_path, forks=forks).at(healthy.url)


@pytest.fixture
def shipped_kgen(kgen: Kgen) -> Kgen:
    """The same with the matrix that comes with kgen; for what a test says of a refusal's cause."""
    matrix = {FOLDER_VARIABLE: str(resources.folder("matrix"))}
    return dataclasses.replace(kgen, environment={**kgen.environment, **matrix})


@pytest.fixture
def kgen_alone(project: Path, tmp_path: Path, index: Index, forks: Forks | None) -> Kgen:
    """The command in an empty folder, with the test's own index and caches in which nothing of an index is yet."""
    caches = {"UV_CACHE_DIR": str(tmp_path / "uv-cache"), "KGEN_CACHE_DIR": str(new_cache(tmp_path / "kgen-cache"))}
    environment = {**os.environ, "UV_DEFAULT_INDEX": index.url, **caches}
    return Kgen(folder=project, temporary=tmp_path, environment=environment, forks=forks)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel of conda with a real CPython and fake frameworks; to be copied by who changes it."""
    return small_channel(tmp_path_factory.mktemp("channel") / "small")


@pytest.fixture(scope="session")
def to_lock(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """The same for the Python whose answers the tests expect, which need not be there: nothing of it is installed."""
    return small_channel(tmp_path_factory.mktemp("channel") / "to-lock", PYTHON)


@pytest.fixture
def served(built: Channel) -> Iterator[ChannelServer]:
    """The channel, served; to be told to misbehave."""
    with serving_channel(built.folder) as server:
        yield server


@pytest.fixture
def conda(kgen: Kgen, tmp_path: Path) -> Kgen:
    """The command with a cache of conda's own."""
    return dataclasses.replace(kgen, environment={**kgen.environment, "RATTLER_CACHE_DIR": str(tmp_path / "rattler")})


@pytest.fixture
def filtered() -> Callable[..., list[str]]:
    """A call behind a filter of system calls with an answer to clone3: `refused`, `unknown`, or `taken`."""

    def behind(answer: str, *words: str) -> list[str]:
        return [sys.executable, str(Path(__file__).parent / "fakes" / "seccomp.py"), answer, *words]

    return behind
