"""The chain closed: the anomalous precession put into the muons comes out of the decoded raw files.

``python -m benchmarks.closure`` simulates runs of gasgun until 200000 positrons above 1.7 GeV lie in the fitted time
range (some ten minutes on two cores), reconstructs each run from its raw files alone, deletes it, and fits the sum.
An argument is the number of positrons.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gm2sim.analysis import design_reference, field_index, precession_frequency, raw_files
from gm2sim.config import Config, load
from gm2sim.reco import reconstruct
from gm2sim.run import run
from gm2sim.wiggle import WiggleFit, WiggleHistogram, fit_wiggle, histogram, randomise_times

FILLS_A_RUN = 40
# The fill-long sums are not needed here and would fill the disk: 3 MB a fill.
LEAN = {"daq.calo_sum": False, "daq.q_method": False, "tracking.moments_every": 50}


@dataclass(frozen=True)
class Closure:
    """What went in and what came out.

    Attributes
    ----------
    fills, muons, positrons : int
        Positrons above threshold in the fitted time range.
    put_in : float
        a_mu e B / (2 pi m), less the shift by electric field and pitch [Hz].
    shift_ppm : float
        That shift, from the configured widths.
    found, error : float
        Of the fit of five parameters [Hz].
    error_ppm, pull : float
        Relative error [ppm]; (found - put in) / error.
    chi2, ndf, probability
        Of the fit.
    lifetime_us, lifetime_error_us, asymmetry, asymmetry_error : float
        Of the fit; dilated lifetime [us].
    """

    fills: int
    muons: int
    positrons: int
    put_in: float
    shift_ppm: float
    found: float
    error: float
    error_ppm: float
    pull: float
    chi2: float
    ndf: int
    probability: float
    lifetime_us: float
    lifetime_error_us: float
    asymmetry: float
    asymmetry_error: float

    @property
    def good(self) -> bool:
        """Within 2.5 standard deviations, with a chi-square that happens."""
        return abs(self.pull) < 2.5 and 1e-3 < self.probability < 0.999


def beam_shift(config: Config) -> float:
    """Relative lowering of omega_a by electric field and pitch, from the widths before the collimators' cut.

    C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2 and C_p = n <y^2>/(2 R0^2): T. Albahri et al., Phys. Rev. Accel. Beams 24
    (2021) 044002. The cut makes both smaller, by less than 0.3 ppm, which the statistics here do not see.
    """
    beam, n, reference = config.beam, field_index(config), design_reference(config)
    x2 = 1e-6 * (beam.x_e_mean_mm**2 + beam.x_e_sigma_mm**2)
    y2 = 1e-6 * (beam.betatron_y_sigma_mm**2 + 0.5 * beam.y_offset_mm**2)
    return float((2.0 * n * (1.0 - n) * reference.beta0**2 * x2 + 0.5 * n * y2) / reference.r0**2)


def close(
    positrons: int = 200_000, fills_a_run: int = FILLS_A_RUN, note: Callable[[str], object] | None = None
) -> tuple[Closure, WiggleFit, WiggleHistogram]:
    """Simulate, decode and fit until there are enough positrons.

    Parameters
    ----------
    positrons
        Above the configured threshold in the fitted time range.
    fills_a_run
        Fills on the disk at one time.
    note
        Told one line after each run.
    """
    total: WiggleHistogram | None = None
    number = fills = muons = 0
    while total is None or total.counts.sum() < positrons:
        number += 1
        config = load("gasgun", LEAN | {"run.run": number, "run.fills": fills_a_run, "run.subruns": 1})
        seen = _one_run(config)
        total = seen if total is None else WiggleHistogram(total.counts + seen.counts, seen.edges)
        fills += fills_a_run
        muons += fills_a_run * config.beam.muons_per_fill
        if note:
            note(f"run {number}: {fills} fills, {total.counts.sum():.0f} positrons")
    fitted = fit_wiggle(total)
    return _judge(config, fitted, fills, muons), fitted, total


def _one_run(config: Config) -> WiggleHistogram:
    """Simulate a run, forget everything but its raw files, and count the positrons found in those."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        run(config, out, preset="gasgun", backend="cpu", report=False)
        for truth in out.glob("*.truth.h5"):
            truth.unlink()
        found = reconstruct(raw_files(out))
    time = randomise_times(found.time, found.fill, config.run.seed + config.run.run)
    fit = config.fit
    return histogram(
        time, found.energy, threshold=fit.threshold_gev, start=fit.start_us * 1e-6, stop=fit.stop_us * 1e-6
    )


def _judge(config: Config, fitted: WiggleFit, fills: int, muons: int) -> Closure:
    shift = beam_shift(config)
    put_in = precession_frequency(config) * (1.0 - shift)
    found, error = (value / (2.0 * math.pi) for value in fitted.omega_a)
    return Closure(
        fills=fills,
        muons=muons,
        positrons=fitted.positrons,
        put_in=put_in,
        shift_ppm=1e6 * shift,
        found=found,
        error=error,
        error_ppm=1e6 * error / found,
        pull=(found - put_in) / error,
        chi2=fitted.chi2,
        ndf=fitted.ndf,
        probability=fitted.probability,
        lifetime_us=fitted["tau_us"][0],
        lifetime_error_us=fitted["tau_us"][1],
        asymmetry=fitted["asymmetry"][0],
        asymmetry_error=fitted["asymmetry"][1],
    )


def main(positrons: int, keep: Path | None) -> int:
    """Print the closure; 0 when it is good. ``keep`` is a folder for the numbers and the histogram."""

    def tell(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    closure, _, total = close(positrons, note=tell)
    tell(json.dumps(asdict(closure), indent=1))
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / "closure.json").write_text(json.dumps(asdict(closure), indent=1) + "\n")
        np.savez_compressed(keep / "closure_histogram.npz", counts=total.counts, edges=total.edges)
    tell(f"pull {closure.pull:+.2f} at {closure.error_ppm:.0f} ppm: {'good' if closure.good else 'NOT GOOD'}")
    return 0 if closure.good else 1


if __name__ == "__main__":
    sys.exit(
        main(
            int(float(sys.argv[1])) if len(sys.argv) > 1 else 200_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None
        )
    )
