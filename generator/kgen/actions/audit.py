"""Reading the matrix against the wheels of the configured index again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from kgen import host, index, uvsettings, uvtool
from kgen.audit.reader import Reader
from kgen.audit.run import Audit, Audited, Progress
from kgen.errors import UnknownNameError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.tables import nearest


def audit(
    root: Path,
    matrix: CompatibilityMatrix,
    *,
    names: Sequence[str] = (),
    sample: int | None = None,
    fatbins: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Audited:
    """Compare every field that wheels state with what they state.

    Args:
        root: the project, whose index configuration counts.
        matrix: what is audited.
        names: frameworks and libraries; () for all.
        sample: how many rows of each framework, and how many libraries; None for all.
        fatbins: whether the code for GPUs in the large libraries is read too, gigabytes of it.
        progress: called with the number of rows done, and of all.

    Returns:
        What agrees, what differs, and what could not be compared.

    Raises:
        UsageError: a name is not in the matrix.
        OutsideError: the index cannot be asked.
    """
    known = (*matrix.framework_names, *matrix.library_names)
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise UnknownNameError(
                f"`{name}` is not in the matrix",
                hints=[f"kgen matrix audit {near}" if near else "kgen matrix show"],
            )
    cancel = threading.Event()
    with uvsettings.wheel_reader(root, cancel=cancel) as reader:
        source = Reader(
            index.Index(uvtool.indexes(uvtool.find(), root), reader, cache=host.cache("pages")),
            reader,
            cache=host.cache("audit"),
        )
        return Audit(
            matrix, source, names=names, sample=sample, fatbins=fatbins, cancel=cancel, progress=progress
        ).run()
