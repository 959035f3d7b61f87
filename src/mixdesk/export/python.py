"""Mixtures that stand in somebody's Python: names looked up, never run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mixdesk.core.files import read_text
from mixdesk.export import configs


def parsed(path: Path) -> ast.Module:
    """The tree of a file.

    Raises:
        InputError: unreadable, or not Python.
    """
    try:
        return ast.parse(read_text(path))
    except SyntaxError as error:
        raise configs.no_file(path, f"line {error.lineno}: {error.msg}", "Python") from None


def calls(tree: ast.Module, name: str) -> list[ast.Call]:
    """Calls of a function or class of that name, however it is reached, in the order they stand."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and ast.unparse(one.func).endswith(name)]
    return sorted(found, key=lambda one: (one.lineno, one.col_offset))


def assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Name or attribute → the value given to it last, anywhere in the file; pairs of names one by one."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                found |= {ast.unparse(k): v for k, v in zip(target.elts, node.value.elts, strict=False)}
            else:
                found[ast.unparse(target)] = node.value
    return found


def argument(call: ast.expr, name: str, place: int, known: dict[str, ast.expr]) -> ast.expr | None:
    """What a call gives an argument, by name or place, looked up where it is a name itself."""
    if not isinstance(call, ast.Call):
        return None
    value = next((one.value for one in call.keywords if one.arg == name), None)
    if value is None and len(call.args) > place:
        value = call.args[place]
    return value if value is None else known.get(ast.unparse(value), value)


def literal(path: Path, node: ast.expr, bound: str) -> Any:
    """The value that is written out.

    Raises:
        InputError: it is computed.
    """
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise configs.no_file(path, ast.unparse(node), bound) from None
