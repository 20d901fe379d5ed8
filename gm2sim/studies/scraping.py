"""Scraping: some plates are held low in the first microseconds, and the collimators take the edge of the beam."""

import math
from dataclasses import replace

import numpy as np

from fields.voltage import Scraping, gradient_shift, vertical_shift
from gm2sim.machine import Ring
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.injected import QUANTITIES, Fill, difference
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.registry import study
from tracking.bunch import State
from tracking.optics import Optics, optics
from tracking.stations import ring_tables
from tracking.turns import Moments

_TURNS = 1000  # that the beam is followed after the kick: 150 us
_WINDOW = (30e-6, 100e-6)  # of the later losses [s]
_PLACES = 48
_WHOLE = (1.0, 1.0, 1.0, 1.0)
_AVERAGE = 18  # turns of a running mean: one period of the CBO
_PERCENT, _MM, _US = 1e2, 1e3, 1e6


@study("scraping", muons=100_000)
def scraping(case: Case) -> Finding:
    """Scraping against none with the same muons: losses, beam position and width, and what is lost later.

    With the bottom plates low the closed orbit sinks, and low side plates of two quads move it sideways; muons at
    the edge of the beam meet the collimators then and not later. The vertical orbit of the ring with scraped
    plates held, averaged over the azimuth, stands beside the sum of first-order shifts of its plates,
    :func:`fields.voltage.vertical_shift`, the field index beside :func:`fields.voltage.gradient_shift`.
    """
    with_, without = Fill(case, scraping__on=True), Fill(case, scraping__on=False)
    changed, error = difference(with_, without)
    before, after = without.optics, held(with_.ring)
    settings = Scraping.e989(case.config.scraping.depth, case.config.scraping.end_us * 1e-6)
    quads = with_.ring.layout.quads
    sinks = sum(vertical_shift(quad, settings.missing[quad.name]) for quad in quads)
    softer = sum(gradient_shift(quad, settings.missing[quad.name]) for quad in quads)
    seen = [_watch(fill) for fill in (with_, without)]
    later = [_lost(fill, moments, _WINDOW) for fill, moments in zip((with_, without), seen, strict=True)]
    rows = [
        Number("vertical orbit, scraped", (after.lattice.y.mean() - before.lattice.y.mean()) * _MM, unit="mm",
               formula=sinks * _MM, remark="plates held low; formula: first order, smooth ring"),
        Number("radial orbit, scraped", (after.lattice.x.mean() - before.lattice.x.mean()) * _MM, unit="mm"),
        Number("change of n, scraped", (after.field_index / before.field_index - 1.0) * _PERCENT, unit="%",
               formula=softer * _PERCENT, remark="1 - nu_x^2; formula: first order"),
        *(Number(f"change of {q.name}", float(changed[k]), float(error[k]), q.unit, remark="with less without")
          for k, q in enumerate(QUANTITIES)),
        Number("lost from 30 to 100 us, scraped", *later[0], "%", remark="of those stored at 30 us"),
        Number("lost from 30 to 100 us, not scraped", *later[1], "%"),
    ]  # fmt: skip
    for label, moments in zip(("scraped", "not scraped"), seen, strict=True):
        row = int(30e-6 / with_.ring.reference.period) - with_.config.injection.kicked_turns
        spread = math.sqrt(float(moments.variance_y[0, row]))
        rows.append(Number(f"vertical RMS at 30 us, {label}", spread * _MM,
                           spread / math.sqrt(2.0 * int(moments.count[0, row])) * _MM, "mm"))  # fmt: skip
    return Finding(tuple(rows), _panels(with_, settings, seen), "Scraping as in E821: the depth is a best estimate.")


def held(ring: Ring) -> Optics:
    """Optics of the ring with all plates where scraping holds them."""
    config = ring.config
    missing = Scraping.e989(config.scraping.depth).missing
    scale = dict(ring.quads.plate_scale)
    for name, plates in missing.items():
        top, bottom, inner, outer = (
            (1.0 - gone) * old for gone, old in zip(plates, scale.get(name, _WHOLE), strict=True)
        )
        scale[name] = (top, bottom, inner, outer)
    tables = ring_tables(
        ring.layout, replace(ring.quads, plate_scale=scale), ring.storage, scheme=config.tracking.scheme,
        refine=config.tracking.refine, anomaly=config.physics.anomaly,
    )  # fmt: skip
    return optics(tables, 2.0 * math.pi * np.arange(1, _PLACES) / _PLACES)


def _watch(fill: Fill) -> Moments:
    """Moments of the muons that the kickers left, turn by turn."""
    alive = fill.kicked.select(fill.kicked.state == State.STORED)
    result = fill.ring.track(
        alive, _TURNS, observers=(math.radians(fill.config.tracking.observer_deg),), moments=True,
        metal_key=fill.key, progress=False,
    )  # fmt: skip
    fill.case.muon_turns += result.muon_turns
    assert result.moments is not None
    return result.moments


def _lost(fill: Fill, moments: Moments, window: tuple[float, float]) -> tuple[float, float]:
    """Share lost in a span of time, and its error [%]."""
    first, last = (int(t / fill.ring.reference.period) - fill.config.injection.kicked_turns for t in window)
    total, left = int(moments.count[0, first]), int(moments.count[0, last])
    gone = (total - left) / total
    return gone * _PERCENT, math.sqrt(max(gone * (1.0 - gone), 1.0 / total) / total) * _PERCENT


def _smooth(values: Floats) -> Floats:
    return np.convolve(values, np.full(_AVERAGE, 1.0 / _AVERAGE), mode="valid")


def _panels(fill: Fill, settings: Scraping, seen: list[Moments]) -> tuple[Panel, ...]:
    turn = fill.config.injection.kicked_turns + np.arange(_TURNS)
    time = np.asarray(turn * fill.ring.reference.period * _US, np.float64)
    centre = time[_AVERAGE // 2 : _AVERAGE // 2 + _TURNS - _AVERAGE + 1]
    labels = ("scraped", "not scraped")
    volts = fill.config.quads.voltage_kv * (1.0 - settings.level(time / _US) * fill.config.scraping.depth)
    return (
        Panel("time [μs]", "mean height [mm]", tuple(
            Curve(label, centre, _smooth(one.mean_y[0]) * _MM, line=True)
            for label, one in zip(labels, seen, strict=True)
        )),
        Panel("time [μs]", "muons left", tuple(
            Curve(label, time, one.count[0], line=True) for label, one in zip(labels, seen, strict=True)
        )),
        Panel("time [μs]", "vertical RMS [mm]", tuple(
            Curve(label, centre, np.sqrt(_smooth(one.variance_y[0])) * _MM, line=True)
            for label, one in zip(labels, seen, strict=True)
        )),
        Panel("time [μs]", "voltage of a low plate [kV]", (Curve("low plate", time, volts, line=True),)),
    )  # fmt: skip
