"""conda's configuration (`.condarc`), as far as it says where a channel is and how to reach it.

The project decides which channels kgen reads, so kgen ignores `channels` and the like; this machine decides which
channels it must not read. Aliases and mirrors change where kgen fetches a channel from, and never its name in a lock.

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
"""The variables that name certificates to rattler, as to uv."""

_IGNORED = {
    "disallowed_packages": "a lock may hold these, and conda then refuses to install it",
    "pinned_packages": "`--require` and `--constraints` say which versions a lock has",
    "track_features": "features choose no build",
    "use_only_tar_bz2": "a lock has packages in either form",
}
"""What conda's solver heeds beside these, and rattler does not: key -> what follows."""

_OVERRIDES = ("CONDA_OVERRIDE_CUDA", "CONDA_OVERRIDE_GLIBC", "CONDA_OVERRIDE_ARCHSPEC")
"""The variables that describe another machine to conda's tools."""

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables that name certificates to conda if `ssl_verify` does not."""


class Condarc(NamedTuple):
    """The merged configuration.

    Attributes:
        alias: the base address of channels without an address; None for conda's default.
        mirrors: the addresses that serve each channel, highest priority first.
        proxies: the proxy for `http` and `https`. With any proxy here, those of the process's environment are included,
            and win, as with conda.
        direct: the hosts for which no proxy is used, from the environment; empty without proxies.
        verify: whether to check certificates.
        certificates: the file or folder of trusted authorities, which replaces the usual ones and those that the
            environment names to rattler.
        truststore: whether to trust the system's authorities.
        timeout: after how many seconds a silent channel counts as unreachable; None for kgen's default.
        register: whether to add environments to conda's list of environments.
        several: the channels that each multichannel name stands for, by name or URL.
        denied: the channels that kgen must not read, by name or URL.
        allowed: the only channels that kgen may read; None for any.
        files: the files of the configuration.
        remarks: notes for the user: certificates that are not checked, and settings that conda follows and rattler
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
        """The configuration in rattler's form.

        Args:
            usual: the base address of rattler's channels, ending with a slash.
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
    """The conda configuration of this user.

    Raises:
        SettingsError: a file is not YAML, or a key does not have conda's form.
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
    """Notes for a user who locks while variables describe another machine to conda."""
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
    """The parsed value of a key; an error names the key."""
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
    """The URLs or names in a list, or a single one."""
    rows = [value] if isinstance(value, str) else value
    if not isinstance(rows, list):
        raise TypeError(mismatch(value, list))
    return tuple(map(_expanded, rows))


def _seconds(value: object) -> int:
    return max(1, round(float(_scalar(value))))


def _verification(value: object) -> tuple[bool, Path | None, bool]:
    """Whether to check certificates, the file or folder for it, and whether to use the system's."""
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
    """The proxies; empty if conda's configuration has none, as rattler then reads the environment itself."""
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
    """The text of a scalar value; others are refused, as YAML's aliases can make them very large."""
    if value is not None and not isinstance(value, (str, bool, int, float)):
        raise TypeError(mismatch(value, str, bool))
    return str(value)


def _expanded(value: object) -> str:
    """A URL with its variables replaced, as conda does."""
    if not isinstance(value, str):
        raise TypeError(f"`{shown(_scalar(value))}` is not a URL")
    return line(_filled(value)).rstrip("/")


def _filled(text: str) -> str:
    return _VARIABLE.sub(lambda match: host.variable(match[1] or match[2]) or match[0], text)


def _places() -> Iterator[Path]:
    """The places of conda's files, the one nearest to the user last."""
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
