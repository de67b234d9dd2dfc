"""Lends a Python that brings its own C library what wheels expect of a machine, and of the driver what it asks for.

Lies in an environment's site-packages and is called from a `.pth` file beside it, at every start of its Python. At the
first import that is not of the standard library it loads libraries by absolute path. What is loaded under its name is
found under it by whoever asks for it later; no program that is started sees anything of it, as it would of
LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as `typing` has it, without importing it at every start
if TYPE_CHECKING:
    from collections.abc import Callable

DRIVER_FOLDERS = (
    "/run/opengl-driver/lib",  # NixOS
    "/usr/lib/wsl/lib",  # WSL
    "/usr/local/nvidia/lib64",  # containers
    f"/usr/lib/{os.uname().machine}-linux-gnu",  # Debian and its kin, and containers on them
    "/usr/lib64",  # Red Hat and its kin
    "/usr/lib",  # Arch
)
# `site` asks for these at every start, and they are hardly ever there
ASKED_BY_SITE = frozenset({"sitecustomize", "usercustomize"})
STANDARD = frozenset(getattr(sys, "stdlib_module_names", sys.builtin_module_names)) | ASKED_BY_SITE


class _Preloader:
    """A finder that finds nothing: it waits for the first import of something installed, and is gone then."""

    def __init__(self, libraries: list[str], *, driver: list[str]) -> None:
        self.libraries = libraries
        self.driver = driver

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Part of the import system's protocol."""
        if name.partition(".")[0] in STANDARD:
            return
        # another thread may have been here first
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            preload(self.libraries, driver=self.driver)


def install(libraries: list[str], *, driver: list[str]) -> None:
    """Wait for the first import of something installed.

    Args:
        libraries: libraries to load then, by absolute path.
        driver: libraries of a driver to load then, from where this machine has the last of them.
    """
    sys.meta_path.insert(0, _Preloader(libraries, driver=driver))


def preload(libraries: list[str], *, driver: list[str]) -> None:
    """Load the libraries, and the driver if there is one; say so if one that is there cannot be loaded."""
    import ctypes  # noqa: PLC0415 - most programs that are started import nothing that needs it

    for library in libraries:
        _load(ctypes.CDLL, library)
    folder = driver_folder(driver[-1]) if driver else None
    if folder is not None:
        for name in driver:
            library = os.path.join(folder, name)
            if os.path.exists(library):
                _load(ctypes.CDLL, library)


def driver_folder(library: str) -> str | None:
    """Where this machine has a driver that is known by a library: in $KGEN_DRIVER_DIR, or where systems have it."""
    own = os.environ.get("KGEN_DRIVER_DIR")
    for folder in (own,) if own else DRIVER_FOLDERS:
        if os.path.exists(os.path.join(folder, library)):
            return folder
    return None


def _load(load: Callable[[str], object], library: str) -> None:
    try:
        load(library)
    except OSError as error:
        # what needs it will fail, or fall back to the CPU, and then it must have been said
        sys.stderr.write(f"kgen: {library} cannot be loaded: {error}\n")
