"""What nixpkgs' check of requirements at run time does: those of a wheel are among the dependencies, and fit."""

from __future__ import annotations

import email
import importlib.metadata
import sys
import zipfile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

wheel, names, removed = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(place))
faults = []
for text in metadata.get_all("Requires-Dist", []):
    asked = Requirement(text)
    if asked.name in removed.split() or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
        continue
    if canonicalize_name(asked.name) not in names.split():
        faults.append(f"{asked.name} is not among the dependencies")
        continue
    version = importlib.metadata.version(asked.name)
    if not asked.specifier.contains(version, prereleases=True):
        faults.append(f"{asked} is not {version}")
if faults:
    sys.exit("\n".join(faults))
