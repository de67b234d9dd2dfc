"""What the commands that edit the settings have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated

from kgen.actions.lock_options import LockOptions
from kgen.actions.request_flags import RequestFlags
from kgen.actions.requirement_settings import Edit
from kgen.cli import candidates, console, outcomes
from kgen.cli.lock import lock_and_tell
from kgen.cli.options import ASKED, LOCKING, option
from kgen.errors import ExitStatus, KgenError
from kgen.model.requirement import canonical_name

BackendOf = Annotated[
    str | None,
    option("--backend", metavar="B", text="only in the environments of B", panel=ASKED, values=candidates.backends),
]
EnvironmentOf = Annotated[
    str | None, option("--env", metavar="E", text="only in E, a joint environment of the settings", panel=ASKED)
]
NoLock = Annotated[bool, option("--no-lock", text="edit the settings and leave the locks", panel=LOCKING)]


def apply(
    edit: Edit, said: Callable[[Edit], str], *, no_lock: bool, json: bool, let_go: Collection[str] = ()
) -> ExitStatus:
    """Write the settings and lock; where that fails for one environment, put back the settings and write no lock.

    Args:
        edit: the change of the settings.
        said: the text about it.
        no_lock: whether the locks are left.
        json: whether what is locked is printed as data.
        let_go: the packages that the change takes out, by their names.

    Raises:
        KgenError: the settings cannot be written, or nothing of the locking could be begun.
    """
    edit.write()
    if no_lock:
        console.say(said(edit))
        if json:
            console.data(outcomes.data((), {}))
        else:
            console.say("\nnext: kgen lock")
        return ExitStatus.DONE
    try:
        options = LockOptions(together=True, let_go=tuple(map(canonical_name, let_go)))
        status = lock_and_tell(RequestFlags(), options, json=json, done=said(edit))
    except (KgenError, KeyboardInterrupt):
        edit.undo()
        raise
    if status is not ExitStatus.DONE:
        edit.undo()
        became = "gone again; the locks are as they were" if edit.before is None else "as it was, and so are the locks"
        console.say(f"{edit.path.name} is {became}")
    elif json:
        console.say(said(edit))
    return status
