"""conda's own configuration, as far as it says where a channel is and how it is reached: `.condarc`.

Which channels are asked is the project's business, so `channels` and the like count for nothing here. Aliases and
mirrors change where a channel is fetched from and never what a lock calls it.

Source: conda's documentation, "Using the .condarc conda configuration file", its search path; checked 2026-11-21.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import host
from kgen.errors import SettingsError

_NAMES = (".condarc", "condarc")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_TIMEOUT = "remote_read_timeout_secs"


class Condarc(NamedTuple):
    """What the files say together.

    Attributes:
        alias: the address below which channels without one of their own are; None for conda's usual one.
        mirrors: channel -> the addresses that serve it, the first having the say.
        proxies: `http` or `https` -> the proxy.
        verify: whether certificates are checked.
        timeout: seconds after which a channel that says nothing counts as unreachable; None for kgen's own.
        files: the files that it was read from.
    """

    alias: str | None = None
    mirrors: Mapping[str, tuple[str, ...]] = {}
    proxies: Mapping[str, str] = {}
    verify: bool = True
    timeout: int | None = None
    files: tuple[Path, ...] = ()

    def toml(self, usual: str) -> str:
        """The same as rattler's configuration.

        Args:
            usual: the address below which rattler looks for channels, with a slash at its end.
        """
        lines = [] if self.verify else ["tls-no-verify = true"]
        if self.proxies:
            lines += ["[proxy-config]", *(f"{name} = {json.dumps(url)}" for name, url in sorted(self.proxies.items()))]
        mirrors = {name if "://" in name else f"{usual}{name}": urls for name, urls in self.mirrors.items()}
        if self.alias is not None:
            mirrors[usual.rstrip("/")] = (self.alias,)
        if mirrors:
            lines += ["[mirrors]", *(f"{json.dumps(name)} = {json.dumps(urls)}" for name, urls in mirrors.items())]
        return "\n".join(lines) + "\n"


def read() -> Condarc:
    """What this user's conda is configured for.

    Raises:
        SettingsError: a file is no YAML, or a key has another form than conda's.
    """
    merged: dict[str, Any] = {}
    files = []
    for path in _places():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        data = _parsed(path, text)
        for key, value in data.items():
            # of maps, conda merges the entries; of all else, the file that is nearer to the user wins
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **value} if both else value
        files.append(path)
    try:
        return _made(merged, tuple(files))
    except (TypeError, ValueError, AttributeError) as error:
        named = ", ".join(map(str, files)) or "the environment"
        raise SettingsError(f"conda's configuration cannot be used: {error} ({named})") from None


def _parsed(path: Path, text: str) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - of the extra `conda`, and only who uses that is here

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path} is no configuration of conda: it is no map of keys")
    return {str(key): value for key, value in data.items()}


def _made(data: Mapping[str, Any], files: tuple[Path, ...]) -> Condarc:
    alias, verify = data.get("channel_alias"), data.get("ssl_verify", True)
    named = host.variable(f"CONDA_{_TIMEOUT.upper()}") or data.get(_TIMEOUT)
    mirrors: dict[str, tuple[str, ...]] = {}
    for name, base in (data.get("custom_channels") or {}).items():
        mirrors[str(name)] = (f"{_expanded(base)}/{name}",)
    for name, urls in (data.get("mirrored_channels") or {}).items():
        mirrors[str(name)] = tuple(map(_expanded, [urls] if isinstance(urls, str) else urls))
    return Condarc(
        alias=None if alias is None else _expanded(alias),
        mirrors=mirrors,
        proxies={str(name): _expanded(url) for name, url in (data.get("proxy_servers") or {}).items()},
        verify=str(verify).lower() not in {"false", "no", "0"},
        timeout=None if named is None else max(1, round(float(named))),
        files=files,
    )


def _expanded(value: object) -> str:
    """A URL with the variables in it filled in, as conda does."""
    if not isinstance(value, str):
        raise TypeError(f"`{value}` is no URL")

    def found(match: re.Match[str]) -> str:
        return host.variable(match[1] or match[2]) or match[0]

    return _VARIABLE.sub(found, value).rstrip("/")


def _places() -> Iterator[Path]:
    """Where conda looks, the nearest to the user last."""
    home, config = host.home(), host.variable("XDG_CONFIG_HOME")
    folders = [Path("/etc/conda")]
    folders += [Path(config, "conda")] if config else []
    folders += [home / ".config/conda", home / ".conda"] if home is not None else []
    for folder in dict.fromkeys(folders):
        yield from (folder / name for name in _NAMES)
        yield from sorted((folder / "condarc.d").glob("*.y*ml"))
    if home is not None:
        yield home / ".condarc"
    for name, inside in (("CONDA_PREFIX", _NAMES), ("CONDARC", ("",))):
        named = host.variable(name)
        if named:
            yield from (Path(named, part) for part in inside)
