"""What a compiled function depends on, as one hash: its code, constants, closures and all that it calls.

numba tells two functions of one name and place apart by their own bytecode alone. Functions that are
generated, or made in a loop with different constants, need more: the name of their file on disk carries this
fingerprint.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np


def fingerprint(function: FunctionType) -> str:
    """Hash a function about to be compiled, with the compiled functions and the constants it refers to."""
    parts: list[str] = []
    _describe(function, parts, seen=set())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _describe(thing: Any, parts: list[str], seen: set[int]) -> None:
    if isinstance(thing, FunctionType):
        _describe_function(thing, parts, seen)
    elif hasattr(thing, "py_func"):  # a compiled function, with its flags
        parts.append(str(sorted((name, _plain(value)) for name, value in thing.targetoptions.items())))
        _describe_function(thing.py_func, parts, seen)
    elif isinstance(thing, np.ndarray):
        parts.append(f"{thing.dtype} {thing.shape} {hashlib.sha256(thing.tobytes()).hexdigest()}")
    elif isinstance(thing, enum.EnumMeta):
        parts.append(str([(member.name, member.value) for member in thing]))  # type: ignore[var-annotated]
    else:
        parts.append(_plain(thing))


def _describe_function(function: FunctionType, parts: list[str], seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    names = _describe_code(function.__code__, parts)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is still empty
            _describe(cell.cell_contents, parts, seen)
    for name in names:
        value = function.__globals__.get(name)
        inside = vars(value) if isinstance(value, ModuleType) else {}
        for found in (value, *(inside.get(attribute) for attribute in names)):
            if not isinstance(found, FunctionType):  # compiled code cannot call plain Python
                _describe(found, parts, seen)


def _describe_code(code: CodeType, parts: list[str]) -> list[str]:
    """Add bytecode and constants; return the global names and attributes that are used."""
    names = list(code.co_names)
    parts.append(f"{code.co_name} {code.co_varnames} {code.co_code.hex()}")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _describe_code(constant, parts)
        else:
            parts.append(_plain(constant))
    return names


def _plain(value: Any) -> str:
    """Spell out numbers, strings and collections of them; other things count by their type only."""
    if isinstance(value, set | frozenset):
        return str(sorted(_plain(part) for part in value))
    if isinstance(value, tuple | list):
        return str([_plain(part) for part in value])
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__
