"""Whom locks of wheels are asked of: uv, the servers of wheels, and the indexes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kgen import host, templates, uvsettings, uvtool
from kgen.formats.wheels.questions import Asker

if TYPE_CHECKING:  # slow to import, and not needed where nothing has changed
    from kgen.formats.wheels.age import Releases
    from kgen.index import Index
    from kgen.wheels import WheelReader


class Outside:
    """All of them, for one run over a project.

    Attributes:
        root: the project's folder.
        cancel: set it to end what is under way.
        program: the path of uv.
        asker: asks uv, and has what it answered.
        asked: what has looked at pages of the index.

    Raises:
        OutsideError: uv is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cancel = threading.Event()
        self.program = uvtool.find()
        self.asker = Asker(self.program, root=root, cancel=self.cancel)
        self.asked: list[Releases] = []

    def open_reader(self) -> WheelReader:
        """What reads wheels; is called while uv is at work: what is slow to import or to prepare is seen to now."""
        templates.prepare("hooks/", "pylock")
        return uvsettings.wheel_reader(self.root, cancel=self.cancel, cache=host.cache("wheels"))

    def releases(self, reader: WheelReader) -> Releases:
        """What says which releases there are."""
        from kgen.formats.wheels.age import Releases  # noqa: PLC0415 - who asks for nothing by name needs none

        def open_index() -> Index:
            from kgen.index import Index  # noqa: PLC0415 - as above

            return Index(uvtool.indexes(self.program, self.root), reader, cache=host.cache("pages"))

        found = Releases(open_index)
        self.asked.append(found)
        return found

    def pages(self, names: Sequence[str]) -> Mapping[str, str]:
        """What tells of each project whether its page in the index is another than before."""
        with self.open_reader() as reader:
            releases = self.releases(reader)
            releases.ask(names)
        return releases.pages
