"""rattler, as conda's solver and installer: the one place that imports py-rattler and knows its ways.

Imported with this module is nothing of it; the first call does that, and says what to install where it is missing.
What is odd about py-rattler 0.28.0 is dealt with here, each at its place; `tests/test_rattlertool.py` has for each a
test of the bare library that fails when it is so no longer, and says what can go then:

- a solve can take the interpreter down at its exit (https://github.com/PyO3/pyo3-async-runtimes/issues/40):
  :func:`_load` has the exit wait for the moment that rattler's threads need to let go; kgen itself ends with
  `os._exit`, and waits for nothing;
- specs given as text are parsed in another grammar than specs given as objects, strictly: always objects here;
- the cut-off is taken for UTC whatever its zone is: only UTC comes in;
- a fault inside Rust is a `PanicException`, which is no `Exception`: :func:`_panic_text` makes an ordinary error of it;
- `install` wants the inner object of a spec: :meth:`Rattler.install`;
- what is locked is kept although its channel has lost or mended it: :meth:`Rattler._still_there`;
- shards, which are what makes a large channel quick to load, are refused when a server answers that they have not
  changed and names no ETag, as a plain web server does (https://github.com/conda/rattler/issues/2719, closed as the
  server's fault): whatever is wrong with them, :meth:`Rattler._solve` goes on without;
- nothing says whether a channel is as it was: :meth:`Rattler.state` reads that from the cache, see
  :mod:`kgen.formats.conda.shards`;
- the activation that rattler writes expands what packages put into variables, which was left so when quotes were mended
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
    HashMismatchError,
    MissingExtraError,
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
"""Seconds that an interpreter waits at its exit; with none, one process in four ended with a signal."""

_SILENCE = 60
"""Seconds after which a channel that says nothing counts as unreachable."""

_ALTOGETHER = 900.0
"""Seconds that all channels together may take for what is to be solved."""

_OF_SHARDS = re.compile(r"\.msgpack\.zst|304 Not Modified")
_UNANSWERED = re.compile(r"error sending request")

_NO_PACKAGE = "kgen-asks-whether-this-index-is-of-now"
"""The name of a package that no channel has."""

_CLOCK = 20_000_000
"""Nanoseconds by which the times of files may be behind the clock."""

_SOLVE = datetime.timedelta(seconds=120)
_NAMES = ("PanicException",)
_TOOLS = ("pixi", "rattler")
"""Whose configuration counts, the last for most."""


class Query(NamedTuple):
    """What is to be solved for one platform.

    Attributes:
        platform: conda's name of it.
        channels: channels by name or URL, the first having the say.
        specs: match specs.
        virtuals: the virtual packages of the target machine: name -> version, with a build or not.
        cutoff: nothing published after this day is used; None for no such limit.
        locked: packages that are kept where they can be: others are preferred to them only where they fit nothing. One
            without a URL is taken from whatever channel has its version and build.
        constraints: match specs that hold for what comes in, and bring nothing in.
        undated: whether packages are used in spite of `cutoff` whose channel does not say when they were published.
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
    """That there is no solution, and the solver's own tree of reasons."""

    tree: str


def available() -> bool:
    """Whether py-rattler is installed; costs no import of it."""
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
    """A session with rattler: one set of connections and one cache of what channels say."""

    def __init__(self, cache: Path | None = None) -> None:
        """Prepare; nothing is asked for.

        Mirrors, certificates, proxies and authentication are those that the user has configured rattler, pixi or conda
        for; of what several say, rattler's counts, and then pixi's. Where conda's names certificates, the process's
        environment is changed for a moment: see :func:`changes_environment`.

        Args:
            cache: where channels' answers and packages are kept; None for the place that conda's tools share.

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
        """Solve all of them, in one loop; a channel that fails fails the queries that need it only.

        Raises:
            SettingsError: conda's configuration does not have a channel asked.
        """
        for query in queries:
            self._see_that_all_may_be_asked(query.channels)

        async def every() -> list[list[CondaRecord] | Unsolvable | OutsideError]:
            # one after the other: they share what the first has fetched, and two at a time gain nothing
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
        """What tells one state of channels from another, as far as a platform sees it.

        Channels are asked, so that it is of now. It is known of channels in shards, whose index has the digest of all
        that is said of a package, when rattler has just had it confirmed.

        Args:
            channels: channels by name or URL.
            platform: conda's name of the platform.

        Returns:
            The digest; None where there is none to tell.

        Raises:
            OutsideError: a channel does not answer.
        """
        with contextlib.suppress(SettingsError):  # who solves meets it again, and tells
            self._see_that_all_may_be_asked(channels)
            return self._state(channels, platform)
        return None

    def _state(self, channels: Sequence[str], platform: str) -> str | None:
        # of what no channel has, rattler looks into the index of shards and into nothing else
        nothing = [self._rattler.MatchSpec(_NO_PACKAGE)]
        where: Any = {"sources": list(channels), "platforms": self._subdirs(platform)}
        found = self._asked(lambda gateway: gateway.query(**where, specs=nothing, recursive=False), channels)
        if isinstance(found, OutsideError):
            raise found
        if not self._sharded:
            return None
        urls = [place.url for place in self.places(channels, platform)]
        kept = shards.kept(self._cache or shards.usual_cache(), urls)
        # one that holds is not asked for again
        now = {url: one.digest for url, one in kept.items() if max(one.written, one.fresh_until * 1e9) >= self._since}
        return shards.state([(url, now[url]) for url in urls]) if len(now) == len(urls) else None

    def places(self, channels: Sequence[str], platform: str) -> list[shards.Place]:
        """Where the indexes of channels in shards are, for :func:`kgen.formats.conda.shards.unchanged`.

        Args:
            channels: channels by name or URL.
            platform: conda's name of the platform.
        """
        configured = tomli.loads(self._config.to_toml()).keys()
        found = []
        for channel in channels:
            base = f"{self._rattler.Channel(channel).base_url.rstrip('/')}/"
            mirrors = [mirror + base.removeprefix(own) for own, mirror in self._mirrors if base.startswith(own)]
            # what else is configured says how channels are reached, which rattler alone follows
            asked = (mirrors or [base])[0] if configured <= {"mirrors"} and len(mirrors) <= 1 else None
            found += [
                shards.Place(f"{base}{subdir}/{shards.NAME}", asked and f"{asked}{subdir}/{shards.NAME}")
                for subdir in (platform, "noarch")
            ]
        return found

    def names(self, channels: Sequence[str], platform: str) -> frozenset[str] | OutsideError:
        """The names of all packages that channels have for a platform, as they spell them.

        Raises:
            SettingsError: conda's configuration does not have a channel asked.
        """
        self._see_that_all_may_be_asked(channels)
        where: Any = {"sources": list(channels), "platforms": self._subdirs(platform)}
        found = self._asked(lambda gateway: gateway.names(**where), channels)
        return found if isinstance(found, OutsideError) else frozenset(one.source for one in found)

    def _see_that_all_may_be_asked(self, channels: Sequence[str]) -> None:
        """Refuse names that conda's configuration has several channels for, and channels that it keeps from users.

        Of a name that stands for others, a stranger may have a channel on the public server.
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
        """What channels answer, within the time that they have; without shards where those are out of order."""
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
        """Whether to ask again without shards: what the channel has as one file is the same, and may be in order."""
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
        """What is locked, as the channel describes it now; without what it has no longer, or has since the cut-off.

        rattler itself would keep a package that has vanished, and what was wrong about it and has been put right.
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
        """Where a package's own channel has it: shards can say that it is on the mirror that they came from."""
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
        """Make the folder hold exactly these packages, each compared with its hashes.

        Args:
            records: the packages.
            prefix: the folder, which may be empty or hold others.
            specs: what was asked for, for the history that conda keeps.
            place: where the folder will be moved to, which packages are to take for their own.

        Raises:
            OutsideError: a package cannot be had, or has another hash.
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

    def download(self, url: str, target: Path) -> None:
        """Fetch a package as it is; safe to be called from many threads.

        Args:
            url: where its channel has it.
            target: the file to write; what is in it after a failure is of no use.

        Raises:
            OutsideError: it cannot be had.
        """

        async def fetched() -> None:
            from rattler.package_streaming import download_to_path  # noqa: PLC0415 - see `_load`

            await download_to_path(self._client, url, target)

        try:
            _finished(fetched())
        except BaseException as error:  # noqa: BLE001 - see `_panic_text`
            _reraise_interrupt(error)
            raise download_failure(_panic_text(error), url) from None

    def unpack(self, package: Path, sha256: str, name: str) -> None:
        """Have a package that is on this machine in the cache, so that :meth:`install` fetches nothing for it.

        Args:
            package: the file.
            sha256: what it must have.
            name: its name, version and build, as the cache calls it.

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
        """The packages as rattler's own objects, which it makes from a channel's index only.

        Raises:
            OutsideError: one of them is not what a channel would say.
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
    """Whether a version of conda is older than another, in conda's own order."""
    library = _load()
    return bool(library.Version(version) < library.Version(other))


def is_version(text: str) -> bool:
    """Whether a text is a version in conda's own grammar."""
    library = _load()
    try:
        library.Version(text)
    except Exception:  # noqa: BLE001 - whatever it is, it is none
        return False
    return True


def changes_environment() -> bool:
    """Whether :class:`Rattler` changes the process's environment for a moment, which no other thread should see.

    rattler takes certificates from a variable only, and so would every program that is started in that moment.
    """
    try:
        return condarc.read().certificates is not None
    except SettingsError:  # whoever opens it will be told
        return False


def _trusting(own: condarc.Condarc) -> contextlib.AbstractContextManager[None]:
    place = own.certificates
    if place is None:
        return contextlib.nullcontext()
    name, other = ("SSL_CERT_DIR", "SSL_CERT_FILE") if files.is_folder(place) else ("SSL_CERT_FILE", "SSL_CERT_DIR")
    return host.lent({name: str(place), other: None})


def opened(cache: Path | None = None) -> Rattler:
    """Rattler with the caches that the user has, which conda's other tools of rattler's kin share.

    Args:
        cache: another folder for its caches.
    """
    named = host.variable("RATTLER_CACHE_DIR")
    return Rattler(cache or (Path(named) if named else None))


def described() -> str:
    """What of rattler and its configuration may make another answer of what the same channels have; without rattler.

    Raises:
        SettingsError: conda's configuration is wrong.
    """
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - who locks for conda alone asks

    try:
        release = version("py-rattler")
    except PackageNotFoundError:  # as another tool has brought it along
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
    """What an error of rattler's says, on one line."""
    if not isinstance(error, Exception) and type(error).__name__ not in _NAMES:
        raise error
    return re.sub(r"\s*\n\s*(Caused by: )?", ": ", str(error).strip()) or type(error).__name__


def _midnight(day: datetime.date) -> datetime.datetime:
    """The end of a day: what was published on it counts, as for wheels."""
    return datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), datetime.timezone.utc)


def channel_failure(reason: str, channels: Sequence[str]) -> OutsideError:
    """What is wrong with a channel, in the words of somebody who has to do something about it."""
    shown = grammar.without_credentials(reason)
    named = next((one for one in channels if one.rstrip("/") in shown), channels[0] if len(channels) == 1 else None)
    channel = f"the conda channel {named}" if named else f"a conda channel of {', '.join(channels)}"
    said = logins.without_urls(shown)
    found = next((row for pattern, row in _FAILURES if re.search(pattern, said)), None)
    what, hint = found or ("failed", "see whether it answers, then lock again")
    return UnreachableError(f"{channel} {what}: {shown}", hints=[hint])


def download_failure(reason: str, url: str) -> OutsideError:
    """Why a package could not be fetched; one that its channel has no longer is told apart from a channel."""
    folder, _, name = url.rpartition("/")
    # a file that is in a folder of this machine was found before rattler was asked
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
    """Why an installation failed, in the words of somebody who has to do something about it."""
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
