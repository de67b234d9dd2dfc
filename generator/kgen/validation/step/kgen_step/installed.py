"""What is installed where this interpreter looks, read from the folders themselves.

`importlib.metadata` came with Python 3.8, and `pkg_resources` takes a second to say the same.
"""

import os
import re
import sys

_METADATA = (("METADATA", ".dist-info"), ("PKG-INFO", ".egg-info"))


def distributions():
    """Gives normalised name -> version; of several copies, the one that is first on the path."""
    found = {}
    for folder in sys.path:
        try:
            entries = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for entry in entries:
            for filename, ending in _METADATA:
                if entry.endswith(ending):
                    name, version = _read(os.path.join(folder, entry), filename)
                    if name is not None:
                        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return found


def of_conda():
    """Gives name -> version of what conda has linked into the environment of this interpreter; nothing elsewhere."""
    try:
        entries = sorted(os.listdir(os.path.join(sys.prefix, "conda-meta")))
    except OSError:
        return {}
    parts = [entry[: -len(".json")].rsplit("-", 2) for entry in entries if entry.endswith(".json")]
    return {part[0]: part[1] for part in parts if len(part) == 3}  # noqa: PLR2004 - name, version, build


def _read(path, filename):
    if os.path.isdir(path):
        path = os.path.join(path, filename)
    fields = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if not value or len(fields) == 2:  # noqa: PLR2004 - the headers have ended, or both are known
                    break
                if key in {"Name", "Version"}:
                    fields[key] = value.strip()
    except OSError:
        return None, None
    return fields.get("Name"), fields.get("Version")
