"""Make the picture of a campaign's page: a made-up campaign, as the tests have it, in headless Chromium.

python -m docs.images.campaign
"""

import struct
import tempfile
import zlib
from pathlib import Path

import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from gm2sim.campaign import page
from gm2sim.campaign.status import look
from gm2sim.database import opened, upgrade
from tests.campaign import browser
from tests.campaign.staged import Staged, afternoon

_SIZE = "1040,2330"  # the first screens: counts, stages, what to press, shards over time
_SHOWN = Path("/global/cfs/cdirs/gm2/run1a-validation")  # in place of the folder that is gone afterwards


def main() -> None:
    """Fill a ledger, write the page, and look at it."""
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        with opened(temporary / "catalog.sqlite", create=True) as engine:
            upgrade(engine, "catalog")
            staged = afternoon(Staged(engine, temporary / "campaign", shown=_SHOWN))
            status = look(
                staged.ledger, staged.folder, staged.name, target="run1a-validation.toml",
                clock=lambda: staged.clock.at,
            )  # fmt: skip
        index = page.write(status, staged.folder.page)
        shot = temporary / "shot.png"
        browser.run(index, temporary / "profile", f"--window-size={_SIZE}", f"--screenshot={shot}")
        pixels = np.round(255 * matplotlib.image.imread(shot)[..., :3]).astype(np.uint8)
        Path(__file__).with_name("campaign.png").write_bytes(small_png(pixels))


def small_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of 256 colours: the most frequent ones, and the others as the nearest of these.

    Parameters
    ----------
    pixels : array (rows, columns, 3)
    """
    height, width, _ = pixels.shape
    colours, which, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(-counts)[:256]].astype(int)
    nearest = np.array([np.argmin(np.sum((palette - colour) ** 2, axis=1)) for colour in colours.astype(int)], np.uint8)
    rows = np.zeros((height, width + 1), np.uint8)  # the first byte of a row: no filter
    rows[:, 1:] = nearest[which.reshape(height, width)]
    parts = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


if __name__ == "__main__":
    main()
