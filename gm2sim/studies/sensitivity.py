"""What the stored beam owes to each setting of the injection."""

from typing import NamedTuple

import numpy as np

from gm2sim.config import Config
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.injected import QUANTITIES, Fill, difference
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.registry import study

_DRAWN = ("stored fraction", "C_e", "CBO amplitude")


class Step(NamedTuple):
    """One setting moved.

    Attributes
    ----------
    name : str
        What was moved and by how much.
    settings : dict
        As for :meth:`gm2sim.config.Config.with_`.
    """

    name: str
    settings: dict[str, object]


@study("sensitivity", muons=100_000)
def sensitivity(case: Case) -> Finding:
    """Sensitivity table: change of the stored beam for a step of each setting of kick, beam and ring.

    The same muons in all rows: the errors are those of the differences (jackknife). A changed size of the beam
    also changes which draws fit through the inflector's exit, so the pairs of those rows are looser.
    """
    base = Fill(case)
    steps = steps_of(base.config)
    found = [difference(Fill(case, **step.settings), base) for step in steps]
    values, errors = (np.array(column) for column in zip(*found, strict=True))
    now, now_error = base.numbers()
    rows = [
        Number(q.name, float(now[k]), float(now_error[k]), q.unit, remark="nothing moved")
        for k, q in enumerate(QUANTITIES)
    ]
    for number, step in enumerate(steps):
        for k, q in enumerate(QUANTITIES):
            rows.append(
                Number(f"{number + 1}: {q.name}", float(values[number, k]), float(errors[number, k]), q.unit,
                       remark=f"change for {step.name}")
            )  # fmt: skip
    order = np.arange(1, len(steps) + 1)
    panels = tuple(
        Panel("number of the step in the table", f"change of {q.name} [{q.unit}]", (
            Curve(q.name, order, values[:, k], errors[:, k]), Curve("none", [0, len(steps) + 1], [0, 0], line=True),
        ))
        for k, q in enumerate(QUANTITIES) if q.name in _DRAWN
    )  # fmt: skip
    return Finding(tuple(rows), panels, "; ".join(f"{k}: {step.name}" for k, step in enumerate(steps, start=1)))


def steps_of(config: Config) -> list[Step]:
    """The settings that are moved, each alone, from a configuration."""
    beam, kick, scraping = config.injection, config.kickers, config.scraping
    other = "run3b" if kick.pulse != "run3b" else "run2"
    return [
        Step("kick + 1 %", {"kickers__gauss_per_kv": 1.01 * kick.gauss_per_kv}),
        Step("kick 5 ns later", {"kickers__delay_ns": kick.delay_ns + 5.0}),
        Step(f"pulse of {other} instead of {kick.pulse}", {"kickers__pulse": other}),
        Step("no ringing after the main lobe", {"kickers__ringing": False}),
        Step(f"momentum spread 1.2 instead of {beam.delta_sigma_percent:g} %", {"injection__delta_sigma_percent": 1.2}),
        Step("inflector angle + 0.5 mrad", {"injection__angle_mean_mrad": beam.angle_mean_mrad + 0.5}),
        Step("inflector position + 1 mm", {"injection__x_mean_mm": beam.x_mean_mm + 1.0}),
        Step("radial emittance + 10 %", {"injection__emittance_x_um": 1.1 * beam.emittance_x_um}),
        Step("vertical emittance + 10 %", {"injection__emittance_y_um": 1.1 * beam.emittance_y_um}),
        Step("quad voltage + 0.5 %", {"quads__voltage_kv": 1.005 * config.quads.voltage_kv}),
        Step("collimator radius + 0.5 mm", {"ring__collimator_radius_mm": config.ring.collimator_radius_mm + 0.5}),
        Step("scraping deeper by a tenth", {"scraping__depth": 1.1 * scraping.depth}),
        Step("no scraping", {"scraping__on": False}),
        Step("outer plate of Q1 long displaced", {"quads__q1_outer_plate": "displaced"}),
        Step("outer plates of Q1 thicker by 0.1 mm", {"injection__q1_plate_mm": beam.q1_plate_mm + 0.1}),
    ]
