"""Kernels call copies of their own of the functions that did not melt into them (`gpu.linking`)."""

import math

import numba
import pytest

from gpu.kernel import scalar


@scalar(inline=False)
def long_sum(x, n):
    total = 0.0
    for k in range(n):
        total += math.sin(x + k) * math.exp(-x * k) + math.cos(x * k) * math.log(1.0 + x + k)
        total -= math.tan(0.1 * x + k) * math.atan(x - k) + math.sinh(0.01 * x * k) * math.sqrt(x + k)
        if total > 10.0:
            total = 0.5 * total + math.atan2(total, x) + math.hypot(total, x)
        elif total < -10.0:
            total = math.tanh(total) + math.asinh(x) - math.expm1(-x) * math.log1p(x)
    return total


def thrice(x, n):
    return long_sum(x, n) + long_sum(2.0 * x, 3 + n) - long_sum(x * x, 2)


def test_copies_of_functions_in_a_caller_are_private_to_it():
    compiled = numba.njit(thrice)  # never from disk, where its functions have no names
    assert compiled(0.3, 5) == pytest.approx(
        long_sum.py_func(0.3, 5) + long_sum.py_func(0.6, 8) - long_sum.py_func(0.09, 2), rel=1e-12
    )
    (own,) = compiled.overloads.values()
    defined = {one.name: one.linkage.name for one in own.library._final_module.functions if not one.is_declaration}
    assert [kind for name, kind in defined.items() if "long_sum" in name] == ["internal"]
    assert "linkonce_odr" not in defined.values()
