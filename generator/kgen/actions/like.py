"""Takes the versions of a widely used image as far as they work together here, and explains the rest."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from kgen.actions import plan
from kgen.actions.request_flags import RequestFlags
from kgen.errors import UnknownNameError
from kgen.explain.causes import cause_text
from kgen.fields import ACCELERATORS, Raw
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Image
from kgen.model.grammar import shown
from kgen.model.resolution import Conflict, Resolution
from kgen.project import find_root
from kgen.settings import read
from kgen.solver.sharing import solve_together
from kgen.tables import nearest

_SHOWN = 5
"""The number of images to list for an unknown name."""


class _Pin(NamedTuple):
    """A version in the image.

    Attributes:
        name: the package, or the kind of accelerator for its toolkit.
        version: its version.
        flags: field -> the flag that requests it.
    """

    name: str
    version: str
    flags: Mapping[str, str]


def as_image(asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> tuple[RequestFlags, tuple[str, ...]]:
    """The request with as much of an image as possible; the flags of the call take precedence.

    Args:
        asked: the flags of the call, with the name of an image.
        matrix: the facts.
        folder: a folder of the project.

    Returns:
        The flags that replace the image; and what is as in the image, and what is not and why, in words.

    Raises:
        UsageError: the matrix has no such image, or the request is invalid.
        SettingsError: the settings are wrong.
    """
    image = _image(asked.like or "", matrix)
    chosen = _Chooser(asked._replace(like=None), image, matrix, folder)
    return chosen.flags(), tuple(chosen.notes())


def _image(name: str, matrix: CompatibilityMatrix) -> Image:
    found = matrix.images.get(name)
    if found is not None:
        return found
    near = _nearest_image(name, list(matrix.images))
    newest = ", ".join(list(matrix.images)[: -_SHOWN - 1 : -1]) or "none"
    raise UnknownNameError(
        f"--like: the matrix knows no image `{shown(name)}`",
        hints=[f"did you mean `--like {near}`?" if near else f"it knows {newest} and older ones"],
    )


def _nearest_image(name: str, known: Sequence[str]) -> str | None:
    """The same maker's newest image that is not newer than the requested one, or its oldest; else a similar name."""

    def day(image: str) -> list[int]:
        return [int(number) for number in re.findall("[0-9]+", image)]

    same = [one for one in known if one.partition("-")[0] == name.partition("-")[0]]
    if not same:
        return nearest(name, known)
    older = [one for one in same if day(one) <= day(name)]
    return (older or same[:1])[-1] if day(name) else same[-1]


class _Chooser:
    """Takes from an image what works together, frameworks first.

    Args:
        asked: the flags of the call without the image.
        image: the image.
        matrix: the facts.
        folder: a folder of the project.
    """

    def __init__(self, asked: RequestFlags, image: Image, matrix: CompatibilityMatrix, folder: Path) -> None:
        self._image = image
        self._matrix = matrix
        self._folder = folder
        self._asked = self._based(asked)
        settings = read(find_root(folder), matrix)
        given = self._asked.flags.get("require")
        texts = map(str, settings.require) if given is None else [given] if isinstance(given, str) else given
        self._wishes = list(texts) if not isinstance(texts, bool) else []
        pins = list(self._pins())
        self._kept: list[_Pin] = []
        self._dropped: list[tuple[_Pin, str]] = []
        answers = self._solved(pins)
        if all(isinstance(one, Resolution) for one in answers):
            self._kept = pins
        elif all(isinstance(one, Resolution) for one in self._solved([])):
            answers = self._one_by_one(pins)
        else:
            # a request that has no solution even without the image is reported as usual
            pins = []
        self._answers = answers

    def flags(self) -> RequestFlags:
        """The flags that replace the image."""
        return self._with(self._kept)

    def notes(self) -> Iterator[str]:
        """What is as in the image, and what is not and why."""
        solved = [one for one in self._answers if isinstance(one, Resolution)]
        there = {name for one in solved for name in (*one.packages, *one.libraries)}
        kind = self._image.accelerator.kind
        kept = [f"{one.name} {one.version}" for one in self._kept if one.name in {*there, kind}]
        if kept:
            yield f"as on {self._image.title}: {', '.join(kept)}"
        for pin, why in self._dropped:
            if pin.name in there:
                here = sorted({str(_version(one, pin.name)) for one in solved if _version(one, pin.name) is not None})
                instead = f" and is {' or '.join(here)} here" if here else ""
                yield f"not as on {self._image.title}: {pin.name} is {pin.version} there{instead}: {why}"
        for name, version in self._image.packages.items():
            labels = {one.local.get(name) for one in solved if one.packages.get(name) == Version(version.public)}
            if version.local is not None and labels and not self._is_built_alike(name, version, labels):
                yield f"not as on {self._image.title}: {name} is {version} there, which the matrix has no row of"
        for text in self._image.lacks:
            if text.split()[0] in there:
                yield f"not available of {self._image.title}: {text}"

    def _based(self, asked: RequestFlags) -> RequestFlags:
        """The flags, with the Python, the platform and the accelerator of the image unless they name others."""
        flags = dict(asked.flags)
        image = self._image
        if all(flags.get(field.name) in (None, False) for field in ACCELERATORS):
            flags[image.accelerator.kind] = image.accelerator.number
        defaults: Mapping[str, Raw] = {"python": image.python, "platforms": [image.platform]}
        for name, value in defaults.items():
            if flags.get(name) in (None, []):
                flags[name] = value
        if self._own_index() and flags.get("torch_index") is None:
            flags["torch_index"] = "true"
        return asked._replace(flags=flags)

    def _own_index(self) -> bool:
        """Whether only its framework's own index has some build in the image."""
        return any(
            build.local is not None and build.local == version.local
            for name, version in self._image.packages.items()
            if version.local is not None and name in self._matrix.framework_names
            for release in self._matrix.framework(name).releases
            if release.version == Version(version.public)
            for build in release.builds
        )

    def _pins(self) -> Iterator[_Pin]:
        """The versions in the image that the matrix decides on: frameworks, Keras, the toolkit, then libraries."""
        named = {text.partition("=")[0].strip(" <>!~").lower() for text in self._wishes}
        followed = {
            name: version
            for name, version in self._image.packages.items()
            if self._matrix.follows(name) and name not in named
        }
        frameworks = [name for name in followed if name in self._matrix.accelerated_frameworks]
        others = [name for name in followed if name not in frameworks and name != KERAS]
        for name in (*frameworks, *([KERAS] if KERAS in followed else [])):
            yield self._pin(name, followed[name])
        asked = self._asked.flags.get(self._image.accelerator.kind)
        label = next((one.local for one in followed.values() if one.local), None)
        toolkit = None if label is None else self._toolkit(label)
        if toolkit is not None and asked == self._image.accelerator.number:
            yield _Pin(self._image.accelerator.kind, toolkit, {self._image.accelerator.kind: toolkit})
        for name in others:
            yield self._pin(name, followed[name])

    @staticmethod
    def _pin(name: str, version: Version) -> _Pin:
        return _Pin(name, str(version), {"require": f"{name}=={version.public}"})

    def _toolkit(self, label: str) -> str | None:
        """The toolkit version that a label stands for: 12.8 for `cu128`; None if it is not of the image's major."""
        digits, major = re.sub(r"\D", "", label), self._image.accelerator.number
        return f"{major}.{digits.removeprefix(major)}" if digits.startswith(major) and digits != major else None

    def _is_built_alike(self, name: str, version: Version, labels: Collection[str | None]) -> bool:
        """Whether the answers have a build with the image's label, or the index's build for the same toolkit."""
        toolkit = self._toolkit(version.local or "")
        release = self._matrix.release(name, Version(version.public))
        plain = {
            build.accelerator.number for build in (() if release is None else release.builds) if build.local is None
        }
        return all(label == version.local or (label is None and toolkit in plain) for label in labels)

    def _one_by_one(self, pins: Sequence[_Pin]) -> Sequence[Resolution | Conflict]:
        """Keep each pin that works with those before it; returns the answers with all kept pins."""
        answers = self._solved([])
        for pin in pins:
            tried = self._solved([*self._kept, pin])
            conflict = next((one for one in tried if isinstance(one, Conflict)), None)
            if conflict is None:
                self._kept.append(pin)
                answers = tried
            else:
                why = "; ".join(cause_text(one, conflict.request) for one in conflict.causes)
                self._dropped.append((pin, why))
        return answers

    def _solved(self, pins: Sequence[_Pin]) -> Sequence[Resolution | Conflict]:
        planned = plan.make(self._with(pins), self._matrix, self._folder)
        return list(solve_together(self._matrix, planned.requests))

    def _with(self, pins: Sequence[_Pin]) -> RequestFlags:
        wishes = [*self._wishes, *(pin.flags["require"] for pin in pins if "require" in pin.flags)]
        flags: dict[str, Raw] = {**self._asked.flags, **({"require": wishes} if wishes else {})}
        for pin in pins:
            flags |= {name: text for name, text in pin.flags.items() if name != "require"}
        return self._asked._replace(flags=flags)


def _version(resolution: Resolution, name: str) -> Version | str | None:
    """The version of a package, or of the accelerator's toolkit, in an answer."""
    if resolution.runtime is not None and name == resolution.runtime.kind:
        return resolution.runtime.number
    return resolution.packages.get(name) or resolution.libraries.get(name)
