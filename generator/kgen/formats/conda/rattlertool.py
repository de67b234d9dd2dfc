"""rattler as conda's solver and installer: the only module that imports py-rattler and works around its peculiarities.

Importing this module does not import py-rattler. The first call does, and reports what to install if it is missing. The
peculiarities of py-rattler 0.28.0 are handled here, each in one place. For each, `tests/test_rattlertool.py` has a test
of the bare library that fails when the peculiarity is gone, and says what can be removed then:

- a solve can crash the interpreter at its exit (https://github.com/PyO3/pyo3-async-runtimes/issues/40):
  :func:`_load` makes the exit wait for the moment that rattler's threads need to finish. kgen itself ends with
  `os._exit`, and does not wait;
- specs given as text are parsed in another grammar than specs given as objects, strictly: kgen always passes objects;
- the cut-off is taken for UTC whatever its time zone is: kgen always passes UTC;
- an error inside Rust is a `PanicException`, which is not an `Exception`: :func:`_panic_text` makes an ordinary error
  of it;
- `install` wants the inner object of a spec: :meth:`Rattler.install`;
- locked packages are kept although their channel has removed or corrected them: :meth:`Rattler._still_there`;
- shards, which make a large channel quick to load, are refused if a server answers that they have not changed and sends
  no ETag, as a plain web server does (https://github.com/conda/rattler/issues/2719, closed as the server's fault):
  whatever is wrong with them, :meth:`Rattler._solve` goes on without;
- nothing tells whether a channel is unchanged: :meth:`Rattler.state` reads that from the cache, see
  :mod:`kgen.formats.conda.shards`;
- the activation that rattler writes expands what packages put into variables, which stayed so when quotes were fixed
  (https://github.com/conda/rattler/pull/2621): kgen writes its own, see :mod:`kgen.emitters.activation`.

Those without a link are not known to be reported.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import functools
import json
import re
import shlex
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import tomli

from kgen import files, host, lockfiles, logins, storage
from kgen.errors import (
    WITH_A_NETWORK,
    HashMismatchError,
    MissingExtraError,
    OfflineError,
    OutsideError,
    SettingsError,
    TimedOut,
    UnreachableError,
    UsageError,
)
from kgen.formats.conda import condarc, shards
from kgen.model import grammar

if TYPE_CHECKING:
    import rattler

T = TypeVar("T")

CondaRecord = Mapping[str, Any]
"""A package as a channel describes it, with `fn`, `url` and `channel`."""

INSTALL = "pip install 'keras-kgen[conda]'"

_SETTLE = 0.05
"""Seconds that an interpreter waits at its exit; without waiting, one process in four ended with a signal."""

_SILENCE = 60
"""Seconds after which a channel that does not answer counts as unreachable."""

_ALTOGETHER = 900.0
"""Seconds that all channels together may take for one solve."""

_UNCACHED = "no usable repodata cache|not (?:found )?in (?:the )?cache"
_OF_SHARDS = re.compile(rf"\.msgpack\.zst|304 Not Modified|{_UNCACHED}")
_UNANSWERED = re.compile(r"error sending request")

_NO_PACKAGE = "kgen-asks-whether-this-index-is-of-now"
"""The name of a package that no channel has."""

_CLOCK = 20_000_000
"""Nanoseconds by which the time stamps of files may lag behind the clock."""

_SOLVE = datetime.timedelta(seconds=120)
_NAMES = ("PanicException",)
_TOOLS = ("pixi", "rattler")
"""The tools whose configuration counts, in increasing order of precedence."""


class Query(NamedTuple):
    """What to solve for one platform.

    Attributes:
        platform: the platform, as a conda subdir.
        channels: channels by name or URL, in order of strict priority.
        specs: match specs.
        virtuals: the virtual packages of the target machine: name -> version, optionally with a build.
        cutoff: the last day whose publications may be used; None for no limit.
        locked: packages to keep if possible: others replace them only if they do not fit. One without a URL is taken
            from whichever channel has its version and build.
        constraints: match specs for packages if they are installed; they install nothing.
        undated: whether to use packages without a publication date in spite of `cutoff`.
    """

    platform: str
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    virtuals: tuple[tuple[str, str], ...]
    cutoff: datetime.date | None
    locked: tuple[CondaRecord, ...] = ()
    constraints: tuple[str, ...] = ()
    undated: bool = False


class Unsolvable(NamedTuple):
    """There is no solution; contains the solver's own tree of reasons."""

    tree: str


def available() -> bool:
    """Whether py-rattler is installed; does not import it."""
    import importlib.util  # noqa: PLC0415 - as rarely needed as the answer

    return importlib.util.find_spec("rattler") is not None


@functools.cache
def _load() -> Any:  # noqa: ANN401 - a module
    try:
        import rattler  # noqa: PLC0415 - a large library, for who uses conda
    except ImportError as error:
        raise MissingExtraError(f"conda needs py-rattler, which cannot be imported: {error}", hints=[INSTALL]) from None
    # https://github.com/PyO3/pyo3-async-runtimes/issues/40
    atexit.register(time.sleep, _SETTLE)
    return rattler


class Rattler:
    """A session with rattler: one set of connections, and one cache of what channels say."""

    def __init__(self, cache: Path | None = None) -> None:
        """Prepare the session without any request.

        Mirrors, certificates, proxies and authentication are those that the user configured for rattler, pixi or conda,
        in this order of precedence. If conda's configuration names certificates, the process's environment is changed
        for a moment: see :func:`changes_environment`.

        Args:
            cache: the folder for channels' answers and packages; None for the one that conda's tools share.

        Raises:
            UsageError: py-rattler is not installed, or its configuration is wrong.
            SettingsError: conda's configuration is wrong.
        """
        self._rattler = _load()
        self._cache = cache
        from rattler.config import Config  # noqa: PLC0415 - see `_load`

        own = condarc.read()
        usual = str(self._rattler.Channel("x").base_url).removesuffix("x/")
        try:
            self._config = Config.from_toml(own.toml(usual))
            for tool in _TOOLS:
                self._config = self._config.merge(Config.load_from_default_locations(tool))
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is at fault
            raise UsageError(f"rattler's configuration cannot be used: {error}") from None
        self._condarc = own
        self.remarks: Sequence[str] = own.remarks
        self.registers: bool = own.register
        """Whether environments are to be put into conda's list."""
        silence = own.timeout or _SILENCE
        try:
            with _trusting(own):
                self._client = self._rattler.Client.from_config(self._config, max_retries=1, timeout=silence)
        except Exception as error:  # noqa: BLE001 - it is a ValueError that says no more than `builder error`
            named = own.certificates or host.variable("SSL_CERT_FILE") or host.variable("SSL_CERT_DIR")
            where = f": see whether the certificates in {named} are some" if named else ""
            raise UsageError(f"conda's channels cannot be asked: {error}{where}") from None
        self._mirrors = [
            (f"{own.rstrip('/')}/", f"{mirror.rstrip('/')}/")
            for own, mirrors in self._config.mirrors.items()
            for mirror in mirrors
        ]
        self._gateway: rattler.Gateway | None = None
        self._sharded = True
        self._since = 0

    def solve(self, queries: Sequence[Query]) -> list[list[CondaRecord] | Unsolvable | OutsideError]:
        """Solve all queries in one event loop; a channel that fails only fails the queries that need it.

        Raises:
            SettingsError: conda's configuration forbids a channel.
        """
        for query in queries:
            self._see_that_all_may_be_asked(query.channels)

        async def every() -> list[list[CondaRecord] | Unsolvable | OutsideError]:
            # one after the other: the others use what the first has fetched, and concurrency gains nothing
            return [await self._solve(query) for query in queries]

        import asyncio  # noqa: PLC0415 - as below

        limit = host.seconds(_ALTOGETHER)
        try:
            return _finished(every(), limit)
        except asyncio.TimeoutError:
            late = UnreachableError(
                f"the conda channels had not answered in full after {limit:g} s",
                hints=[f"see whether they answer; for slow ones: export KGEN_TIMEOUT={2 * limit:g}"],
            )
            return [late for _ in queries]

    def state(self, channels: Sequence[str], platform: str) -> str | None:
        """A digest of the current state of channels, as far as it concerns a platform.

        Queries the channels. It is only known for sharded channels, whose index has a digest of everything about a
        package, and after rattler has just confirmed that index.

        Args:
            channels: channels by name or URL.
            platform: the platform, as a conda subdir.

        Returns:
            The digest; None if it is unknown.

        Raises:
            OutsideError: a channel does not answer.
        """
        with contextlib.suppress(SettingsError):  # reported when solving
            self._see_that_all_may_be_asked(channels)
            return self._state(channels, platform)
        return None

    def _state(self, channels: Sequence[str], platform: str) -> str | None:
        # for a package that no channel has, rattler reads only the index of shards
        nothing = [self._rattler.MatchSpec(_NO_PACKAGE)]
        where: Any = {"sources": list(channels), "platforms": self._subdirs(platform)}
        found = self._asked(lambda gateway: gateway.query(**where, specs=nothing, recursive=False), channels)
        if isinstance(found, OutsideError):
            raise found
        if not self._sharded:
            return None
        urls = [place.url for place in self.places(channels, platform)]
        kept = shards.kept(self._cache or shards.usual_cache(), urls)
        # an index that is still fresh is not requested again
        now = {url: one.digest for url, one in kept.items() if max(one.written, one.fresh_until * 1e9) >= self._since}
        return shards.state([(url, now[url]) for url in urls]) if len(now) == len(urls) else None

    def places(self, channels: Sequence[str], platform: str) -> list[shards.Place]:
        """The URLs of the indexes of sharded channels, for :func:`kgen.formats.conda.shards.unchanged`.

        Args:
            channels: channels by name or URL.
            platform: the platform, as a conda subdir.
        """
        configured = tomli.loads(self._config.to_toml()).keys()
        found = []
        for channel in channels:
            base = f"{self._rattler.Channel(channel).base_url.rstrip('/')}/"
            mirrors = [mirror + base.removeprefix(own) for own, mirror in self._mirrors if base.startswith(own)]
            # other settings change how channels are reached, and only rattler implements them
            asked = (mirrors or [base])[0] if configured <= {"mirrors"} and len(mirrors) <= 1 else None
            found += [
                shards.Place(f"{base}{subdir}/{shards.NAME}", asked and f"{asked}{subdir}/{shards.NAME}")
                for subdir in (platform, "noarch")
            ]
        return found

    def names(self, channels: Sequence[str], platform: str) -> frozenset[str] | OutsideError:
        """The names of all packages that channels have for a platform, in their spelling.

        Raises:
            SettingsError: conda's configuration forbids a channel.
        """
        self._see_that_all_may_be_asked(channels)
        where: Any = {"sources": list(channels), "platforms": self._subdirs(platform)}
        found = self._asked(lambda gateway: gateway.names(**where), channels)
        return found if isinstance(found, OutsideError) else frozenset(one.source for one in found)

    def _see_that_all_may_be_asked(self, channels: Sequence[str]) -> None:
        """Refuse names that conda's configuration maps to several channels, and channels that it forbids.

        A stranger may have a channel with such a name on the public server.
        """
        own = self._condarc
        where = ", ".join(map(str, own.files))
        denied, allowed = set(map(self._address, own.denied)), set(map(self._address, own.allowed or ()))
        for channel in channels:
            if channel in own.several:
                raise SettingsError(
                    f"`{channel}` is not one channel: conda's configuration ({where}) has it stand for several",
                    hints=[f"name these in `channels`: {json.dumps(own.several[channel])}"],
                )
            if self._address(channel) in denied or (allowed and self._address(channel) not in allowed):
                raise SettingsError(
                    f"conda's configuration ({where}) does not allow the channel {channel}",
                    hints=["name another in `channels` or `--channel`; `conda config --show` prints what is allowed"],
                )

    def _address(self, channel: str) -> str:
        return str(self._rattler.Channel(channel).base_url).rstrip("/")

    def _asked(
        self, ask: Callable[[rattler.Gateway], Coroutine[Any, Any, T]], channels: Sequence[str]
    ) -> T | OutsideError:
        """The answer of channels, within their time limit; without shards if those are broken."""
        import asyncio  # noqa: PLC0415 - as below

        async def answered() -> T | OutsideError:
            try:
                return await ask(self._opened())
            except BaseException as error:  # noqa: BLE001 - see `_panic_text`
                _reraise_interrupt(error)
                reason = _panic_text(error)
            if self._without_shards(reason):
                return await answered()
            return channel_failure(reason, channels)

        limit = host.seconds(_ALTOGETHER)
        try:
            return _finished(answered(), limit)
        except asyncio.TimeoutError:
            return channel_failure(f"timed out after {limit:g} s", channels)

    def _without_shards(self, reason: str) -> bool:
        """Whether to ask again without shards: the channel's single file has the same content and may be intact."""
        if not self._sharded or not _OF_SHARDS.search(reason) or _UNANSWERED.search(reason):
            return False
        self._sharded, self._gateway = False, None
        return True

    async def _solve(self, query: Query) -> list[CondaRecord] | Unsolvable | OutsideError:
        from rattler.exceptions import SolverError  # noqa: PLC0415 - see `_load`

        library = self._rattler
        try:
            locked = await self._still_there(query) if query.locked else []
            records = await library.solve(
                sources=list(query.channels),
                specs=[library.MatchSpec(text) for text in query.specs],
                gateway=self._opened(),
                platforms=self._subdirs(query.platform),
                virtual_packages=[self._virtual(name, text) for name, text in query.virtuals],
                channel_priority=library.ChannelPriority.Strict,
                locked_packages=locked,
                constraints=[library.MatchSpec(text) for text in query.constraints],
                exclude_newer=None if query.cutoff is None else _midnight(query.cutoff),
                timestamp_policy="allow-missing" if query.undated else "require-timestamp",
                timeout=_SOLVE,
            )
        except SolverError as error:
            if "has been cancelled" in str(error):
                return TimedOut(f"{query.platform}: the solver found no answer in {_SOLVE.seconds} s")
            return Unsolvable(str(error).strip())
        except BaseException as error:  # noqa: BLE001 - see `_panic_text`
            reason = _panic_text(error)
            if self._without_shards(reason):
                return await self._solve(query)
            return channel_failure(reason, query.channels)
        found = [json.loads(record.to_json()) for record in records]
        named = [{**one, "url": self._own_address(one["url"], one["channel"])} for one in found]
        return sorted(named, key=lambda one: (one["name"], one["url"]))

    def _subdirs(self, platform: str) -> Any:  # noqa: ANN401 - a list of words that py-rattler's types spell out
        return [platform, "noarch"]

    async def _still_there(self, query: Query) -> list[Any]:
        """Locked packages in the channel's present description, without those removed, or published after the cut-off.

        rattler itself would keep a package that has vanished, and metadata that has been corrected since.
        """
        limit = None if query.cutoff is None else _midnight(query.cutoff).timestamp() * 1000
        urls = {one.get("url") for one in query.locked if limit is None or (one.get("timestamp") or limit) < limit}
        named = {(one["name"], one["version"], one["build"]) for one in query.locked if "url" not in one}
        found = await self._opened().query(
            sources=list(query.channels),
            platforms=self._subdirs(query.platform),
            specs=[self._rattler.MatchSpec(one["name"]) for one in query.locked],
            recursive=False,
        )
        return [
            one
            for records in found
            for one in records
            if self._own_address(one.url, one.channel) in urls
            or (one.name.source, str(one.version), str(one.build)) in named
        ]

    def _own_address(self, url: str, channel: str) -> str:
        """The URL of a package on its own channel: shards may give that of the mirror that they came from."""
        for own, mirror in self._mirrors:
            if f"{channel.rstrip('/')}/".startswith(own) and url.startswith(mirror):
                return own + url.removeprefix(mirror)
        return url

    def _opened(self) -> rattler.Gateway:
        if self._gateway is None:
            self._since = time.time_ns() - _CLOCK
            from rattler.config import Config  # noqa: PLC0415 - see `_load`

            whole = Config.from_toml("[repodata-config]\ndisable-sharded = true\n")
            config = self._config if self._sharded else self._config.merge(whole)
            cache = None if self._cache is None else self._cache / "repodata"
            if host.is_offline():
                only: Any = {"sharded_enabled": self._sharded, "cache_action": "force-cache-only"}
                kept = self._rattler.SourceConfig(**only)
                self._gateway = self._rattler.Gateway(cache, default_config=kept, client=self._client)
            else:
                self._gateway = self._rattler.Gateway.from_config(config, cache_dir=cache, client=self._client)
        assert self._gateway is not None  # noqa: S101 - it was made above
        return self._gateway

    def _virtual(self, name: str, text: str) -> rattler.GenericVirtualPackage:
        library = self._rattler
        version, _, build = text.partition(" ")
        made: rattler.GenericVirtualPackage = library.GenericVirtualPackage(
            library.PackageName(name), library.Version(version), library.BuildString(build or "0")
        )
        return made

    def install(
        self, records: Sequence[CondaRecord], prefix: Path, specs: Sequence[str], *, place: Path | None = None
    ) -> None:
        """Make a folder contain exactly these packages, each verified against its hashes.

        Args:
            records: the packages.
            prefix: the folder, which may be empty or contain other packages.
            specs: the requested specs, for conda's history file.
            place: the folder's final path, which packages should contain.

        Raises:
            OutsideError: a package cannot be fetched, or has another hash.
        """

        async def linked() -> None:
            from rattler.install import install  # noqa: PLC0415 - see `_load`

            wanted: Any = [self._rattler.MatchSpec(text)._match_spec for text in specs]  # noqa: SLF001 - it wants that
            await install(
                records=self.records(records),
                target_prefix=prefix,
                cache_dir=None if self._cache is None else self._cache / "pkgs",
                show_progress=False,
                client=self._client,
                requested_specs=wanted,
                execute_link_scripts=False,
                alternative_target_prefix=place,
            )

        try:
            _finished(linked())
        except OutsideError:
            raise
        except BaseException as error:  # noqa: BLE001 - see `_panic_text`
            _reraise_interrupt(error)
            raise install_failure(_panic_text(error)) from None

    def uncached(self, records: Sequence[CondaRecord]) -> list[CondaRecord]:
        """The packages that :meth:`install` would have to fetch from another machine.

        Args:
            records: the packages.

        Raises:
            OutsideError: one of them is not a valid record of a channel.
        """
        from rattler.package_cache import PackageCache  # noqa: PLC0415 - see `_load`

        index = _finished(PackageCache((self._cache or shards.usual_cache()) / "pkgs").index())
        there = {one.url for one in self.records(records) if index.contains_record(one)}
        return [one for one in records if one["url"] not in there and not one["url"].startswith("file:")]

    def download(self, url: str, target: Path) -> None:
        """Fetch a package file; safe to use from many threads.

        Args:
            url: its URL on its channel.
            target: the file to write; after a failure its content is useless.

        Raises:
            OutsideError: it cannot be fetched.
        """
        if host.is_offline() and not url.startswith("file:"):
            raise OfflineError(
                f"{url.rpartition('/')[2]} is not on this machine, and `--offline` keeps rattler from fetching it",
                hints=[WITH_A_NETWORK],
            )

        async def fetched() -> None:
            from rattler.package_streaming import download_to_path  # noqa: PLC0415 - see `_load`

            await download_to_path(self._client, url, target)

        try:
            _finished(fetched())
        except BaseException as error:  # noqa: BLE001 - see `_panic_text`
            _reraise_interrupt(error)
            raise download_failure(_panic_text(error), url) from None

    def unpack(self, package: Path, sha256: str, name: str) -> None:
        """Put a local package file into the cache, so that :meth:`install` does not fetch it.

        Args:
            package: the file.
            sha256: its expected digest.
            name: its name, version and build, as in the cache.

        Raises:
            OutsideError: it has another digest, or cannot be unpacked.
        """
        assert self._cache is not None  # noqa: S101 - the cache that tools share is not a place for this
        packages = self._cache / "pkgs"
        target, mark = packages / name, packages / f"{name}.kgen"
        if files.is_folder(target) and files.is_file(mark) and mark.read_text(encoding="ascii") == sha256:
            return
        from rattler.package_streaming import extract  # noqa: PLC0415 - see `_load`

        packages.mkdir(parents=True, exist_ok=True)
        with storage.exclusive(packages, who="kgen sync"):
            mark.unlink(missing_ok=True)
            with storage.staged_folder(target, owned=lambda _folder: True) as staged:
                try:
                    found, _ = extract(package, staged)
                except BaseException as error:  # noqa: BLE001 - see `_panic_text`
                    _reraise_interrupt(error)
                    raise OutsideError(
                        f"{package} cannot be unpacked: {_panic_text(error)}", hints=[f"rm {shlex.quote(str(package))}"]
                    ) from None
                if found.hex() != sha256:
                    raise HashMismatchError(
                        f"{package} does not have the sha256 of the lock, and was not installed",
                        hints=[f"rm {shlex.quote(str(package))}   # then `kgen unbundle` brings it again"],
                    )
            mark.write_text(sha256, encoding="ascii")

    def records(self, records: Sequence[CondaRecord]) -> list[Any]:
        """The packages as rattler's own objects, which it creates only from a channel's index.

        Raises:
            OutsideError: one of them is not a valid record of a channel.
        """
        library = self._rattler
        made = []
        for channel, subdir in sorted({(one["channel"], one["subdir"]) for one in records}):
            mine = {one["fn"]: one for one in records if (one["channel"], one["subdir"]) == (channel, subdir)}
            index = {
                "info": {"subdir": subdir},
                "packages": {name: dict(one) for name, one in mine.items() if name.endswith(".tar.bz2")},
                "packages.conda": {name: dict(one) for name, one in mine.items() if not name.endswith(".tar.bz2")},
                "repodata_version": 1,
            }
            with storage.scratch() as folder:
                path = Path(folder, "repodata.json")
                path.write_text(json.dumps(index), encoding="utf-8")
                try:
                    made += library.RepoData.from_path(path).into_repo_data(library.Channel(channel))
                except BaseException as error:  # noqa: BLE001 - see `_panic_text`
                    _reraise_interrupt(error)
                    raise OutsideError(f"the lock's packages of {channel} are damaged: {_panic_text(error)}") from None
        named = {one["url"] for one in records}
        strange = [record.url for record in made if record.url not in named]
        if strange or len(made) != len(records):
            raise OutsideError(
                f"the lock's packages are not where their channel has them: {', '.join(strange) or 'some are missing'}"
            )
        return made


def is_older(version: str, other: str) -> bool:
    """Whether a conda version is older than another, in conda's order."""
    library = _load()
    return bool(library.Version(version) < library.Version(other))


def is_version(text: str) -> bool:
    """Whether a text is a valid conda version."""
    library = _load()
    try:
        library.Version(text)
    except Exception:  # noqa: BLE001 - whatever it is, it is none
        return False
    return True


def changes_environment() -> bool:
    """Whether :class:`Rattler` changes the process's environment for a moment, which no other thread should see.

    rattler takes certificates only from a variable, and so would every program that is started in that moment.
    """
    try:
        return condarc.read().certificates is not None
    except SettingsError:  # reported when the session is opened
        return False


def _trusting(own: condarc.Condarc) -> contextlib.AbstractContextManager[None]:
    place = own.certificates
    if place is None:
        return contextlib.nullcontext()
    name, other = ("SSL_CERT_DIR", "SSL_CERT_FILE") if files.is_folder(place) else ("SSL_CERT_FILE", "SSL_CERT_DIR")
    return host.lent({name: str(place), other: None})


def opened(cache: Path | None = None) -> Rattler:
    """A session with the user's caches, which conda tools based on rattler share.

    Args:
        cache: another folder for its caches.
    """
    named = host.variable("RATTLER_CACHE_DIR")
    return Rattler(cache or (Path(named) if named else None))


def described() -> str:
    """What of rattler and its configuration may change its answer for unchanged channels; without rattler.

    Raises:
        SettingsError: conda's configuration is wrong.
    """
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - who locks for conda alone asks

    try:
        release = version("py-rattler")
    except PackageNotFoundError:  # such as a copy inside another tool
        release = _load().__version__
    texts = []
    for path in _configuration():
        with contextlib.suppress(OSError):
            texts.append((str(path), lockfiles.digest(files.read(path))))
    return repr((release, texts, condarc.read()))


def _configuration() -> Iterator[Path]:
    """Where rattler looks for its own configuration and pixi's: `Config.load_from_default_locations`."""
    home, named = host.home(), host.variable("XDG_CONFIG_HOME")
    users = [Path(named)] if named else []
    users += [] if home is None else [home / ".config", home / "Library/Application Support"]
    for tool in _TOOLS:
        own = host.variable(f"{tool.upper()}_HOME")
        folders = [Path("/etc", tool), *(user / tool for user in users)]
        folders += [Path(own)] if own else [] if home is None else [home / f".{tool}"]
        yield from (folder / "config.toml" for folder in folders)


def _finished(work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
    import asyncio  # noqa: PLC0415 - slow to import, and every `kgen lock` reads this module

    async def timed() -> T:
        return await (work if limit is None else asyncio.wait_for(work, limit))

    return asyncio.run(timed())


def _reraise_interrupt(error: BaseException) -> None:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise error


def _panic_text(error: BaseException) -> str:
    """The text of a rattler error, on one line."""
    if not isinstance(error, Exception) and type(error).__name__ not in _NAMES:
        raise error
    return re.sub(r"\s*\n\s*(Caused by: )?", ": ", str(error).strip()) or type(error).__name__


def _midnight(day: datetime.date) -> datetime.datetime:
    """The end of a day: as with wheels, what was published on that day counts."""
    return datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), datetime.timezone.utc)


def channel_failure(reason: str, channels: Sequence[str]) -> OutsideError:
    """The error for a channel, worded for somebody who has to do something about it."""
    shown = grammar.without_credentials(reason)
    named = next((one for one in channels if one.rstrip("/") in shown), channels[0] if len(channels) == 1 else None)
    channel = f"the conda channel {named}" if named else f"a conda channel of {', '.join(channels)}"
    said = logins.without_urls(shown)
    if host.is_offline() and re.search(_UNCACHED, said):
        what = f"rattler's cache does not have all that {channel} says, and `--offline` keeps rattler from asking it"
        return OfflineError(what, hints=[WITH_A_NETWORK])
    found = next((row for pattern, row in _FAILURES if re.search(pattern, said)), None)
    what, hint = found or ("failed", "see whether it answers, then lock again")
    return UnreachableError(f"{channel} {what}: {shown}", hints=[hint])


def download_failure(reason: str, url: str) -> OutsideError:
    """The error for a package that cannot be fetched, which distinguishes a removed package from a failing channel."""
    folder, _, name = url.rpartition("/")
    # kgen checks that a local file exists before it asks rattler for it
    if not url.startswith("file:") and _GONE.search(logins.without_urls(reason)) is None:
        return channel_failure(reason, (folder,))
    return UnreachableError(
        f"the conda channel {grammar.without_credentials(folder)} has {name} no longer:"
        f" {grammar.without_credentials(reason)}",
        hints=[_LOCK_AGAIN],
    )


_GONE = re.compile(r"\b(?:404|410)\b|failed to fetch .*No such file or directory")
_LOCK_AGAIN = "kgen lock --conda --upgrade   # locks what the channels have now"

_FAILURES: Sequence[tuple[str, tuple[str, str]]] = (
    (
        r"could not find subdir|\b404\b",
        ("is not there", "check its name in `channels` or `--channel`; a channel has a folder `noarch`"),
    ),
    (
        r"\b40[137]\b",
        ("refuses to answer", "log in with `rattler auth login` or `pixi auth login`, or set RATTLER_AUTH_FILE"),
    ),
    (
        r"peer certificate|UnknownIssuer|self.signed",
        (
            "has a certificate that is not trusted",
            "name the authority: `ssl_verify: PATH` in .condarc, or SSL_CERT_FILE",
        ),
    ),
    (r"timed out", ("did not answer in time", "see whether it answers, then lock again")),
    (r"failed to parse|expected value|EOF while", ("is damaged", "tell who keeps it, or use a mirror")),
    (r"status server error", ("is out of order", "lock again later, or use a mirror")),
    (
        r"error sending request|dns error|Connect|connection",
        ("cannot be reached", "check the network, the proxy and the mirrors in rattler's config.toml"),
    ),
)


def install_failure(reason: str) -> OutsideError:
    """The error for a failed installation, worded for somebody who has to do something about it."""
    shown = grammar.without_credentials(reason)
    if re.search(r"hash mismatch|expected .{0,40}hash|sha256|md5", shown, re.IGNORECASE):
        return HashMismatchError(
            f"a package has another hash than the lock, and was not installed: {shown}",
            hints=[
                "see whether the lock came as it was committed: `git status locks/`",
                "if it did, the channel serves another file under that name: tell who keeps it",
            ],
        )
    if _GONE.search(logins.without_urls(shown)):
        return UnreachableError(
            f"a package could not be installed, as its channel has it no longer: {shown}", hints=[_LOCK_AGAIN]
        )
    return UnreachableError(
        f"a package could not be installed: {shown}",
        hints=["see whether the channel answers, then sync again; what was fetched already is kept"],
    )
