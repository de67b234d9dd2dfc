"""A filter of system calls as an engine of containers sets one: `seccomp.py ANSWER PROGRAM...`.

ANSWER is what clone3 is answered with: `refused`, `unknown`, or `taken`.
"""

import ctypes
import errno
import os
import struct
import sys

_CLONE3 = 435
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_ANSWERS = {"refused": _FAIL | errno.EPERM, "unknown": _FAIL | errno.ENOSYS, "taken": _ALLOW}


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


answer, *words = sys.argv[1:]
rules = [(_LOAD, 0, 0, 0), (_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ANSWERS[answer]), (_RETURN, 0, 0, _ALLOW)]
written = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
control = ctypes.CDLL(None, use_errno=True).prctl
for call in (
    (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
    (_SET_SECCOMP, _FILTER, ctypes.byref(Program(len(rules), ctypes.addressof(written))), 0, 0),
):
    if control(*call) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(words[0], words)
