"""Code that runs the same whether this process has compiled it or has loaded it from disk.

A kernel's module holds copies of the functions that it calls and that were not melted into it. numba marks them so that
the first of several copies in a process serves all callers: a process that compiles has one more, from the function's
own module, made without knowing who calls. It rounds otherwise in the last bit, and a process that only loads kernels
has none of it. So copies are private to their module.
"""

from typing import Any

from numba.core import codegen

_SHARED = "linkonce_odr"  # one copy of a name serves all


def keep_copies_private() -> None:
    """Change how numba hands modules to the machine, once."""
    finish = codegen.CPUCodeLibrary._finalize_final_module
    if getattr(finish, "keeps_copies_private", False):
        return

    def finish_private(library: Any) -> None:
        if library._shared_module is None:  # else it comes from disk, where it is as it was made here
            library._shared_module = _for_callers(library._final_module)
            for function in _defined(library._final_module, _SHARED):
                function.linkage = "internal"
        finish(library)

    finish_private.keeps_copies_private = True  # type: ignore[attr-defined]
    codegen.CPUCodeLibrary._finalize_final_module = finish_private


def _for_callers(module: Any) -> Any:
    """The module as kernels take it in: every function may be dropped, or be there more than once."""
    shared = module.clone()
    for function in _defined(shared, "external"):
        function.linkage = _SHARED
    return shared


def _defined(module: Any, linkage: str) -> list[Any]:
    return [one for one in module.functions if not one.is_declaration and one.linkage.name == linkage]
