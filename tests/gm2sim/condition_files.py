"""Text of files of conditions, and the command that writes them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gm2sim.__main__ import main

Floats = NDArray[np.float64]


def gain_text(gain: Floats) -> str:
    rows = "".join(f"{calo + 1},{crystal},{float(gain[calo, crystal])!r}\n" for calo, crystal in np.ndindex(gain.shape))
    return f"calonum,xtalnum,counts_per_gev [counts/GeV]\n{rows}"


def entry(folder: str, text: str, first: str, last: str = "") -> str:
    end = f"last = {last}\n" if last else ""
    return f'[[folders.{folder}]]\nfirst = {first}\n{end}table = """\n{text}"""\n'


def gm2sim(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)
