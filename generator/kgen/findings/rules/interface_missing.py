"""A variable names a network interface that is not here."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import PROCESS, place
from kgen.findings.shape import Facts, Finding, Rule

_NCCL, _GLOO = "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"


def _examine(facts: Facts) -> Iterator[Finding]:
    here = facts.around.interfaces
    for variable in (_NCCL, _GLOO):
        value = facts.around.variables.get(variable, "")
        if not value or here is None or _served(variable, value, here):
            continue
        for one in facts.examined:
            if one.lock.accelerated if variable == _NCCL else "torch" in one.lock.packages:
                yield Finding(
                    "note",
                    (one.lock.environment,),
                    f"{variable}={value} names no network interface of this machine",
                    PROCESS,
                    "processes that train together do not find each other; one alone does without",
                    f"unset {variable}" + place(variable, facts.around),
                )


def _served(variable: str, value: str, here: frozenset[str]) -> bool:
    """Whether one is left.

    Gloo takes whole names. NCCL takes beginnings, whole names behind `=`, and all but those behind `^`; each may have a
    port behind a colon.
    """
    if variable == _GLOO:
        return here.issuperset(value.split(","))
    exact = value.startswith("=")
    names = [name.partition(":")[0] for name in value.removeprefix("=").split(",")]
    if value.startswith("^"):
        return True
    return any(one == name or (not exact and one.startswith(name)) for name in names if name for one in here)


RULE = Rule(
    rank=116,
    title="A variable names a network interface that is not here",
    about=(
        "NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME choose the network interface by which processes that train together "
        "meet. Set for another machine, as in an image or a start-up file that a cluster shares, they name none of "
        "this one, and the processes end or wait. NCCL takes the beginnings of names, Gloo whole ones."
    ),
    fixing=("Unset the variable, or name an interface that `ip -brief address` lists."),
    examine=_examine,
)
