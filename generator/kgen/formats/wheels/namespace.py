"""`__init__.py` of several wheels at one path: whether it matters which of them an installer leaves there."""

from __future__ import annotations

import ast

_EXTENDING = frozenset({"extend_path", "declare_namespace"})


def only_extends_path(content: bytes) -> bool:
    """Whether an `__init__.py` does nothing but make its folder part of a namespace, or nothing at all.

    Of two such files either can stand for both: all packages that share the folder are in one site-packages.
    """
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(statement) for statement in body)


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) or _extends(statement.value)
    if isinstance(statement, ast.Assign):
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        return names == ["__path__"] and len(statement.targets) == 1 and _extends(statement.value)
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        named = [statement.module] if isinstance(statement, ast.ImportFrom) else [one.name for one in statement.names]
        return {*named} <= {"pkgutil", "pkg_resources", "__future__"}
    return False


def _extends(value: ast.expr) -> bool:
    """Whether it is a call of what extends a path: `extend_path(…)`, `__import__("pkgutil").extend_path(…)`."""
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in _EXTENDING
