"""The container refuses every thread."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_FIXES = {
    "docker": "docker run --security-opt seccomp=unconfined …   # Docker 20.10.10 and newer need no such option",
    "podman": "podman run --security-opt seccomp=unconfined …   # with a newer libseccomp there is no need to",
    "kubernetes": "kubectl explain pod.spec.securityContext.seccompProfile   # and set its type to Unconfined",
}


def _examine(facts: Facts) -> Iterator[Finding]:
    if not facts.around.threads_refused:
        return
    for one in facts.examined:
        yield Finding(
            "fault",
            (one.lock.environment,),
            "a filter of system calls (seccomp) refuses clone3",
            "the system call itself, asked to start nothing: Operation not permitted",
            "the C library starts each thread with it: every framework ends with `can't start new thread`, or"
            " `pthread_create failed: Operation not permitted`",
            _FIXES.get(facts.around.container or "", "grep Seccomp /proc/self/status   # ask who set the filter"),
        )


RULE = Rule(
    rank=118,
    title="A filter of system calls refuses every thread",
    about=(
        "glibc 2.34 and newer (Debian 12, Ubuntu 22.04) starts threads with the system call clone3. Docker before "
        "20.10.10, and other engines with an old libseccomp, refuse it with `Operation not permitted`, where `Function "
        "not implemented` would have glibc take an older one: in such a container no program starts a thread."
    ),
    fixing=("Update the engine of containers, or start the container without its filter."),
    examine=_examine,
)
