"""Make the pictures of docs/detectors.md from the program itself, each effect off and on, with fixed seeds.

python docs/images/detectors makes all of them, names behind it only those.
"""

import sys

import channel_pictures
import laser_pictures
import light_pictures
import monitor_pictures
import shower_pictures
import straw_pictures
import sum_pictures
import transport_pictures
from canvas import PICTURES, save

MODULES = (
    transport_pictures, shower_pictures, light_pictures, channel_pictures, sum_pictures, laser_pictures,
    straw_pictures, monitor_pictures,
)  # fmt: skip
"""Importing them fills the registry."""


def main(names: list[str]) -> None:
    """Make the pictures of some names, or all."""
    unknown = sorted(set(names) - set(PICTURES))
    if unknown:
        raise SystemExit(f"there is no picture '{unknown[0]}': choose among {', '.join(PICTURES)}")
    for name in names or PICTURES:
        sys.stdout.write(f"{save(name).name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
