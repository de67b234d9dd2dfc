"""conda's own configuration, as far as it says where a channel is and how it is reached: `.condarc`.

Which channels are asked is the project's business, so `channels` and the like count for nothing here, but which may not
be asked is this machine's. Aliases and mirrors change where a channel is fetched from and never what a lock calls it.

Source: conda's documentation, "Using the .condarc conda configuration file", its search path; checked 2026-11-21.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kgen import files, host, replay
from kgen.errors import SettingsError
from kgen.model.grammar import line, printable, shown
from kgen.tables import mismatch

T = TypeVar("T")

_NAMES = (".condarc", "condarc")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_TIMEOUT = "remote_read_timeout_secs"
_TRUSTSTORE = "truststore"
_NO = frozenset({"false", "no", "off", "0"})
_YES = frozenset({"true", "yes", "on", "1"})
_STRICT = frozenset({"strict", "none"})
_PROXIED = ("http", "https")
_RATTLERS = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What names certificates to rattler, as to uv."""

_IGNORED = {
    "disallowed_packages": "a lock may hold these, and conda then refuses to install it",
    "pinned_packages": "`--require` and `--constraints` say which versions a lock has",
    "track_features": "features choose no build",
    "use_only_tar_bz2": "a lock has packages in either form",
}
"""What conda's solver heeds beside these, and rattler does not: key -> what follows."""

_OVERRIDES = ("CONDA_OVERRIDE_CUDA", "CONDA_OVERRIDE_GLIBC", "CONDA_OVERRIDE_ARCHSPEC")
"""What tells conda's tools of another machine than the one that they run on."""

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What names certificates to conda where `ssl_verify` does not."""


class Condarc(NamedTuple):
    """What the files say together.

    Attributes:
        alias: the address below which channels without one of their own are; None for conda's usual one.
        mirrors: channel -> the addresses that serve it, the first having the say.
        proxies: `http` or `https` -> the proxy; where one is given, also those that the process's environment names,
            which count for more, as with conda.
        direct: the hosts that no proxy is asked for; of the environment, and only where there are proxies.
        verify: whether certificates are checked.
        certificates: the file or folder of the authorities that are trusted, in place of the usual ones and of those
            that the process's environment names to rattler.
        truststore: whether those are trusted that the system trusts.
        timeout: seconds after which a channel that says nothing counts as unreachable; None for kgen's own.
        register: whether environments are put into the list of those that are known.
        several: a name that stands for several channels -> these, by name or URL.
        denied: the channels that may not be asked, by name or URL.
        allowed: those that alone may be; None for any.
        files: the files that it was read from.
        remarks: what a user should know of it: that certificates are not checked, and what conda would heed and rattler
            cannot.
    """

    alias: str | None = None
    mirrors: Mapping[str, tuple[str, ...]] = {}
    proxies: Mapping[str, str] = {}
    direct: tuple[str, ...] = ()
    verify: bool = True
    certificates: Path | None = None
    truststore: bool = False
    timeout: int | None = None
    register: bool = True
    several: Mapping[str, tuple[str, ...]] = {}
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None
    files: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()

    def toml(self, usual: str) -> str:
        """The same as rattler's configuration.

        Args:
            usual: the address below which rattler looks for channels, with a slash at its end.
        """
        lines = [] if self.verify else ["tls-no-verify = true"]
        lines += ['tls-root-certs = "system"'] if self.truststore else []
        if self.proxies:
            lines += ["[proxy-config]", *(f"{name} = {json.dumps(url)}" for name, url in sorted(self.proxies.items()))]
            lines += [f"non-proxy-hosts = {json.dumps(self.direct)}"] if self.direct else []
        mirrors = {name if "://" in name else f"{usual}{name}": urls for name, urls in self.mirrors.items()}
        if self.alias is not None:
            mirrors[usual.rstrip("/")] = (self.alias,)
        if mirrors:
            lines += ["[mirrors]", *(f"{json.dumps(name)} = {json.dumps(urls)}" for name, urls in mirrors.items())]
        return "\n".join(lines) + "\n"


def read() -> Condarc:
    """What this user's conda is configured for.

    Raises:
        SettingsError: a file is not YAML, or a key has another form than conda's.
    """
    merged: dict[str, Any] = {}
    found = []
    for path in _places():
        try:
            text = files.read_text(path)
        except (OSError, ValueError):
            continue
        data = _parsed(path, text)
        for key, value in data.items():
            # of maps, conda merges the entries; of all else, the file that is nearer to the user wins
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **value} if both else value
        found.append(path)
    try:
        return _made(merged, tuple(found))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        named = ", ".join(map(str, found)) or "the environment"
        raise SettingsError(f"conda's configuration cannot be used: {printable(str(error))} ({named})") from None


def overridden() -> tuple[str, ...]:
    """What a user should know who tells conda of another machine than this one, and locks."""
    named = [name for name in _OVERRIDES if host.variable(name)]
    if not named:
        return ()
    said = f"kgen ignores {', '.join(named)}: `--cuda`, `--driver` and `--glibc` say what machine a lock is for"
    return (said,)


def _parsed(path: Path, text: str) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - most have no such file

    try:
        # libyaml bounds the nesting, which costs Python's own reader minutes
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # besides what is not YAML: days that are none, endless numbers, deep nesting
        said = printable(" ".join(str(error).split()))
        raise SettingsError(f"{path} is not YAML: {said}", hints=[f"edit {shlex.quote(str(path))}"]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path} is not a configuration of conda: it is not a map of keys")
    return {key: value for key, value in data.items() if isinstance(key, str)}


def _made(data: Mapping[str, Any], files: tuple[Path, ...]) -> Condarc:
    alias = host.variable("CONDA_CHANNEL_ALIAS") or data.get("channel_alias")
    named = host.variable(f"CONDA_{_TIMEOUT.upper()}") or data.get(_TIMEOUT)
    mirrors: dict[str, tuple[str, ...]] = {}
    for name, base in _map(data, "custom_channels").items():
        mirrors[name] = (f"{_of(f'custom_channels.{name}', _expanded, base)}/{name}",)
    for name, urls in _map(data, "mirrored_channels").items():
        mirrors[name] = _of(f"mirrored_channels.{name}", _texts, urls)
    verification = host.variable("CONDA_SSL_VERIFY") or data.get("ssl_verify", True)
    verify, certificates, truststore = _of("ssl_verify", _verification, verification)
    rows = _map(data, "proxy_servers").items()
    servers = {name: _of(f"proxy_servers.{name}", _proxy, url) for name, url in rows if url is not None}
    proxies = _proxies(servers)
    allowed = [*_listed(data, "allowlist_channels"), *_listed(data, "whitelist_channels")]
    return Condarc(
        alias=None if alias is None else _of("channel_alias", _expanded, alias),
        mirrors=mirrors,
        proxies=proxies,
        direct=tuple(filter(None, map(str.strip, (_environment("no_proxy") or "").split(",")))) if proxies else (),
        verify=verify,
        certificates=certificates,
        truststore=truststore,
        timeout=None if named is None else _of(_TIMEOUT, _seconds, named),
        register=_scalar(host.variable("CONDA_REGISTER_ENVS") or data.get("register_envs", True)).lower() not in _NO,
        several={
            name: _of(f"custom_multichannels.{name}", _texts, channels)
            for name, channels in _map(data, "custom_multichannels").items()
        },
        denied=(*_listed(data, "denylist_channels"), *_listed(data, "blacklist_channels")),
        allowed=tuple(allowed) or None,
        files=files,
        remarks=tuple(_remarks(data, servers, verify=verify)),
    )


def _of(key: str, parse: Callable[[Any], T], value: object) -> T:
    """What the value of a key is; what is wrong with it is told with the key."""
    try:
        return parse(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{key}: {error}") from None


def _map(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise TypeError(f"{key}: {mismatch(value, dict)}")
    return {str(name): one for name, one in value.items()}


def _listed(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return _of(key, _texts, data.get(key) or [])


def _texts(value: object) -> tuple[str, ...]:
    """The URLs or names of a list, or of the only one."""
    rows = [value] if isinstance(value, str) else value
    if not isinstance(rows, list):
        raise TypeError(mismatch(value, list))
    return tuple(map(_expanded, rows))


def _seconds(value: object) -> int:
    return max(1, round(float(_scalar(value))))


def _verification(value: object) -> tuple[bool, Path | None, bool]:
    """Whether certificates are checked, against which, and whether against the system's."""
    text = _scalar(value).strip()
    if text.lower() in _NO:
        return False, None, False
    if text.lower() in {"true", "yes", "on", "1", "none"}:
        text = "" if any(map(host.variable, _RATTLERS)) else next(filter(None, map(host.variable, _BUNDLES)), "")
    if text == _TRUSTSTORE:
        return True, None, True
    if not text:
        return True, None, False
    path = Path(_filled(text))
    try:
        path = path.expanduser()
        replay.looked(path)
        is_there = files.exists(path)
    except (OSError, RuntimeError):  # a name that is too long, or the home folder of nobody
        is_there = False
    if not is_there:
        raise ValueError(f"certificates are to be in {shown(str(path))}, which is not there")
    return True, path, False


def _proxies(servers: Mapping[str, str]) -> dict[str, str]:
    """The proxies; none where conda's configuration has none, as rattler asks the environment itself then."""
    if not servers.keys() & {*_PROXIED, "all"}:
        return {}
    found = {
        name: _environment(f"{name}_proxy") or _environment("all_proxy") or servers.get(name) or servers.get("all")
        for name in _PROXIED
    }
    return {name: _proxy(url) for name, url in found.items() if url is not None}


def _environment(name: str) -> str | None:
    return host.variable(name) or host.variable(name.upper())


def _proxy(value: object) -> str:
    url = _expanded(value)
    return url if "://" in url else f"http://{url}"


def _remarks(data: Mapping[str, Any], servers: Mapping[str, str], *, verify: bool) -> Iterator[str]:
    if not verify:
        yield "kgen does not check the certificates of channels, because conda's configuration says so (`ssl_verify`)"
    single = sorted(servers.keys() - {*_PROXIED, "all"})
    if single:
        yield f"kgen ignores proxies for single hosts in conda's configuration (`proxy_servers`): {', '.join(single)}"
    priority = _scalar(host.variable("CONDA_CHANNEL_PRIORITY") or data.get("channel_priority", "strict")).lower()
    if priority not in _STRICT:
        yield (
            f"kgen ignores `channel_priority: {shown(priority)}` of conda's configuration: the first channel that has a"
            " package is the only one that it is taken from"
        )
    if _scalar(host.variable("CONDA_OFFLINE") or data.get("offline", False)).lower() in _YES:
        yield "kgen ignores `offline` of conda's configuration, and asks channels all the same"
    for key, why in _IGNORED.items():
        value = host.variable(f"CONDA_{key.upper()}") or data.get(key)
        if value and (isinstance(value, list) or _scalar(value).lower() not in _NO):
            yield f"kgen ignores `{key}` of conda's configuration: {why}"
    if data.get("client_ssl_cert"):
        yield "kgen ignores `client_ssl_cert` of conda's configuration: rattler does not support client certificates"


def _scalar(value: object) -> str:
    """The text of a value that holds no others: aliases of YAML make others as large as they like."""
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise TypeError(mismatch(value, str, bool))
    return str(value)


def _expanded(value: object) -> str:
    """A URL with the variables in it filled in, as conda does."""
    if not isinstance(value, str):
        raise TypeError(f"`{shown(_scalar(value))}` is not a URL")
    return line(_filled(value)).rstrip("/")


def _filled(text: str) -> str:
    return _VARIABLE.sub(lambda match: host.variable(match[1] or match[2]) or match[0], text)


def _places() -> Iterator[Path]:
    """Where conda looks, the nearest to the user last."""
    home, config = host.home(), host.variable("XDG_CONFIG_HOME")
    folders = [Path("/etc/conda"), Path("/var/lib/conda")]
    root, program = host.variable("CONDA_ROOT"), host.variable("CONDA_EXE")
    if root or program:  # where conda itself is installed, as ROOT/bin/conda
        folders.append(Path(root) if root else Path(program or "").parent.parent)
    folders += [Path(config, "conda")] if config else []
    folders += [home / ".config/conda", home / ".conda"] if home is not None else []
    for folder in dict.fromkeys(folders):
        yield from (folder / name for name in _NAMES)
        replay.looked(folder / "condarc.d")
        yield from files.matching(folder / "condarc.d", "*.y*ml")
    if home is not None:
        yield home / ".condarc"
    for name, inside in (("CONDA_PREFIX", _NAMES), ("CONDARC", ("",))):
        named = host.variable(name)
        if named:
            yield from (Path(named, part) for part in inside)
