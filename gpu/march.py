"""From a step at one station to a march past many: a vector loop for the CPU, registers for one particle.

On the CPU stations are outside and particles inside: a block of particles lies in one scratch array, each
variable in a row of `WIDTH` lanes, so that LLVM vectorises the loop over lanes without alias checks, and the
numbers of a station stay scalars. A particle on its own (a GPU thread, or one that stops in mid-turn) keeps
its state in registers instead. Both loops are generated around the same scalar steps.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

from gpu.kernel import compiled, scalar

WIDTH = 256  # lanes of a block: 128 to 512 run equally fast, and 13 rows of 256 lanes fit in the first cache
# Lanes in use are rounded up to whole groups: a multiple of any vector length and unrolling, no scalar tail.
GROUP = 64


class March:
    """The loops over stations for one set of steps.

    Parameters
    ----------
    name
        Name of the generated functions; must differ where the steps differ.
    state
        Names of the variables that a step changes.
    passive
        Names of variables that lie in the scratch after the state and that no step knows.
    constants
        Names of the variables that a step only reads; they lie after the passive ones.
    steps
        Kind of station -> scalar function (state..., constants..., row, parameters) -> state.
    row_length
        Numbers in a station's row.
    scale
        Scalar function (row, fraction) -> row of a stage of which only a fraction is crossed.

    Attributes
    ----------
    block
        ``block(scratch, rows, kinds, parameters, base, first, last, lanes)`` marches lanes 0 to lanes-1 past
        stations first to last-1; scratch is a flat array with a row of ``WIDTH`` lanes for each variable. Station
        s has the kind kinds[s] and the numbers rows[base + s]: a turn of its own begins at its own base.
    one
        ``one(state..., passive..., constants..., rows, kinds, parameters, base, first, last)`` returns state and
        passive variables of a single particle; to be called from kernels on CPU and GPU.
    part
        As ``one`` with a last argument, the fraction of each stage that is crossed.
    row
        ``row(rows, s)`` returns one row as a tuple.
    """

    def __init__(
        self,
        name: str,
        state: Sequence[str],
        passive: Sequence[str],
        constants: Sequence[str],
        steps: dict[int, Callable],
        row_length: int,
        scale: Callable,
    ) -> None:
        self.state, self.passive, self.constants = tuple(state), tuple(passive), tuple(constants)
        self.kinds = sorted(steps)
        space: dict[str, Any] = {f"step_{kind}": step for kind, step in steps.items()}
        space |= {"scale": scale, "__name__": __name__}
        row = "(" + " ".join(f"rows[base + s, {k}]," for k in range(row_length)) + ")"
        lone_row = row.replace("base + ", "")
        self.source = "\n\n\n".join(
            [
                self._block_source(f"{name}_block", row),
                self._one_source(f"{name}_one", "", row),
                self._one_source(f"{name}_part", ", fraction", f"scale({row}, fraction)"),
                f"def {name}_row(rows, s):\n    return {lone_row}\n",
            ]
        )
        # numba's disk cache wants a file: the loops count as part of this one.
        exec(compile(self.source, __file__, "exec"), space)
        self.block = compiled(space[f"{name}_block"])
        self.one = scalar(space[f"{name}_one"], inline=False)
        self.part = scalar(space[f"{name}_part"], inline=False)
        self.row = scalar(space[f"{name}_row"])

    @property
    def variables(self) -> tuple[str, ...]:
        """All rows of a scratch, in order."""
        return (*self.state, *self.passive, *self.constants)

    def _dispatch(self, indent: str, body: Callable[[int], list[str]]) -> list[str]:
        """One branch for each kind of station."""
        lines = []
        for position, kind in enumerate(self.kinds):
            lines.append(f"{indent}{'if' if position == 0 else 'elif'} kind == {kind}:")
            lines += [f"{indent}    {line}" for line in body(kind)]
        return lines

    def _block_source(self, name: str, row: str) -> str:
        lane = {variable: f"scratch[{WIDTH * k} + j]" for k, variable in enumerate(self.variables)}
        known = ", ".join(lane[variable] for variable in (*self.state, *self.constants))

        def body(kind: int) -> list[str]:
            call = f"    {', '.join(self.state)} = step_{kind}({known}, row, parameters)"
            stores = [f"    {lane[variable]} = {variable}" for variable in self.state]
            return ["for j in range(lanes):", call, *stores]

        head = f"def {name}(scratch, rows, kinds, parameters, base, first, last, lanes):"
        loop = ["    for s in range(first, last):", f"        row = {row}", "        kind = kinds[s]"]
        return "\n".join([head, *loop, *self._dispatch("        ", body)])

    def _one_source(self, name: str, more: str, row: str) -> str:
        known = ", ".join((*self.state, *self.constants))

        def body(kind: int) -> list[str]:
            return [f"{', '.join(self.state)} = step_{kind}({known}, row, parameters)"]

        head = f"def {name}({', '.join(self.variables)}, rows, kinds, parameters, base, first, last{more}):"
        loop = ["    for s in range(first, last):", f"        row = {row}", "        kind = kinds[s]"]
        back = f"    return {', '.join((*self.state, *self.passive))}"
        return "\n".join([head, *loop, *self._dispatch("        ", body), back])


def bind(function: Callable, name: str, **bound: Any) -> Any:
    """Copy a function with some of its global names standing for other things, before it is compiled.

    Parameters
    ----------
    function
        Plain Python function.
    name
        Name of the copy; must differ for different bindings (numba's disk cache keeps them apart by it).
    **bound
        Global name -> compiled function or constant.
    """
    copy = types.FunctionType(function.__code__, function.__globals__ | bound, name)
    copy.__qualname__ = name
    return copy


def plain(function: Any) -> Callable:
    """Turn a scalar function into plain Python, with all scalar functions that it calls.

    It then takes any kind of number: complex ones for derivatives without rounding, counting ones for flops.
    """
    python = getattr(function, "py_func", function)
    names = {k: plain(v) for k, v in python.__globals__.items() if k in _names(python) and hasattr(v, "py_func")}
    space = python.__globals__ | names
    return types.FunctionType(python.__code__, space, python.__name__, None, _cells(python))


def _names(function: Callable) -> set[str]:
    return set(function.__code__.co_names)


def _cells(function: Callable) -> tuple[types.CellType, ...]:
    """Closure of the plain copy: scalar functions in it made plain too."""
    cells = []
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        cells.append(types.CellType(plain(value) if hasattr(value, "py_func") else value))
    return tuple(cells)
