"""``python -m gm2sim.start ARGUMENTS``: as ``python -m gm2sim``, where the ranks of a node start together."""

import sys
from collections.abc import Sequence

from gm2sim import together


def main(words: Sequence[str]) -> None:
    """The program of one rank, read only by the first of a node."""
    from gm2sim.__main__ import main as program

    program(words)


if __name__ == "__main__":
    together.start(main, sys.argv[1:])
