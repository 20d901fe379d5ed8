"""The status of every subrun, as rows of the tables of :mod:`gm2sim.quality.tables`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.quality.assess import Assessment, Reference
from gm2sim.quality.flags import BAD_FOR_POSITRONS, Flag
from gm2sim.quality.measure import HV_GROUPS
from gm2sim.quality.tables import CTAGS, FILL_FLAGS, SUBRUN_STATUS, SUBRUN_TIME, TRACKER_HV

Bools = NDArray[np.bool_]
Rows = Mapping[str, list[dict[str, Any]]]
_GPS_EPOCH = 315964800 - 18  # Unix time of the begin of GPS time, less the leap seconds since then [s]
_STATIONS = (12, 18)  # names of the stations in tables of the experiment
_SEEN = 10.0  # hits that a high-voltage group should have had before its silence says anything


def rows_of(found: Assessment) -> Rows:
    """Rows of all tables, by the tables' names."""
    rows: dict[str, list[dict[str, Any]]] = {
        table.name: [] for table in (SUBRUN_TIME, CTAGS, SUBRUN_STATUS, TRACKER_HV, FILL_FLAGS)
    }
    m = found.measures
    for subrun in np.unique(m.subrun).tolist():
        here = m.subrun == subrun
        name = {"run": int(m.run[here][0]), "subrun": subrun}
        rows[SUBRUN_TIME.name].append(name | _time(found, here))
        rows[CTAGS.name].append(name | _ctags(found, here))
        rows[SUBRUN_STATUS.name].append(name | _status(found, here))
        rows[TRACKER_HV.name] += [name | row for row in _voltage(found, here)]
        rows[FILL_FLAGS.name] += [name | row for row in _flags(found, here)]
    return rows


def _time(found: Assessment, here: Bools) -> dict[str, Any]:
    times = found.measures.time[here]
    first, last = int(times.min()), int(times.max())
    start, end = (datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in (first, last))
    gps = {"start_gps": float(first - _GPS_EPOCH), "end_gps": float(last - _GPS_EPOCH)}
    return {"start_time": start, "end_time": end, "nevents": int(here.sum())} | gps


def _ctags(found: Assessment, here: Bools) -> dict[str, Any]:
    good = here & found.good
    t0 = found.measures.t0[good]
    t0 = t0[np.isfinite(t0)]
    late = int(found.measures.ctags[good].sum())
    return {"ctags": late, "t0val": 1e9 * float(t0.mean()) if t0.size else None, "fills": int(good.sum())}


def _status(found: Assessment, here: Bools) -> dict[str, Any]:
    """Yes and no; the first time with all fills against the mean of all, repeated with the good against the good."""
    m, cuts = found.measures, found.cuts
    muons, good = here & m.muons, here & found.good
    at_first = muons & ((found.first & int(BAD_FOR_POSITRONS)) == 0)
    off = _off_flat_top(found, muons)
    kept = [float(some.sum()) / max(int(muons.sum()), 1) >= cuts.fills_kept for some in (at_first, good)]
    jumps = np.abs(np.diff(m.field[m.muons & (m.subrun <= m.subrun[here].max())])) > cuts.field
    peaks = 1e4 * found.reference.kick[:, 0]
    plates = found.reference.plates
    volts = plates[:, plates.shape[1] // 3 :].mean(axis=1) if plates.size else np.zeros(0)
    return {
        "quad_condition": round(float(np.median(volts)) / 100.0) if volts.size else 0,  # tenths of a kilovolt
        "kicker_condition": round(float(peaks.mean())) if np.isfinite(peaks).all() else 0,  # gauss
        "quad_ok": off <= cuts.quad_flat and not (found.flags[muons] & Flag.QUADS).all(),
        "quad_loose_ok": off <= cuts.quad_flat_loose,
        "ctags_ok": _near(found, muons, found.before, "ctags", cuts.counts),
        "ctags_loose_ok": _near(found, muons, found.before, "ctags", cuts.counts_loose),
        "ctags_repeat_ok": _near(found, good, found.reference, "ctags", cuts.counts),
        "losses_ok": _near(found, muons, found.before, "triples", cuts.counts),
        "losses_repeat_ok": _near(found, good, found.reference, "triples", cuts.counts),
        "fillcuts_ok": kept[0],
        "fillcuts_repeat_ok": kept[1],
        "field_ok": not bool((found.flags[here] & Flag.FIELD).any()),
        "trolley_period": 1,
        "field_period": 1 + int(jumps.sum()),
    }


def _off_flat_top(found: Assessment, fills: Bools) -> float:
    """Relative distance of the plates of a subrun from those of the run, the worst; the median over the fills."""
    plates, reference = np.abs(found.measures.plates[fills]), found.reference.plates
    wanted = reference.mean(axis=1) > 0.0 if reference.size else np.zeros(0, np.bool_)
    if not (wanted.any() and len(plates)):
        return 0.0
    last = reference.shape[1] // 3  # well behind scraping
    level = np.nanmedian(plates[:, wanted, last:].mean(axis=2), axis=0)
    return float(np.max(np.abs(level / reference[wanted, last:].mean(axis=1) - 1.0)))


def _near(found: Assessment, fills: Bools, reference: Reference, what: str, relative: float) -> bool:
    """Whether the sum over fills is what the reference lets expect of so many."""
    if not fills.any():
        return False
    counts = getattr(found.measures, what)[fills].sum()
    return not bool(found.cuts.far(counts, getattr(reference, what) * fills.sum(), relative))


def _voltage(found: Assessment, here: Bools) -> list[dict[str, Any]]:
    """Which high-voltage groups are on: those with a hit, and those of which none could be expected."""
    m = found.measures
    fills = here & m.muons
    if not len(m.straws) or (m.straws[fills] < 0).all():
        return []
    rows = []
    for station, number in enumerate(_STATIONS):
        expected = found.reference.straws[station] * fills.sum() / HV_GROUPS
        on = m.voltage[fills, station].any(axis=0) | (expected < _SEEN)
        rows.append({"station": number, "hv_status": "".join("01"[int(one)] for one in on)})
    return rows


def _flags(found: Assessment, here: Bools) -> list[dict[str, Any]]:
    m = found.measures
    rows = []
    for k in np.flatnonzero(here).tolist():
        peak = float(m.kick[k, :, 0].mean())
        volts = float(np.abs(m.plates[k]).mean()) if m.plates[k].size else np.nan
        rows.append({
            "event": int(m.event[k]), "fill_type": int(m.fill_type[k]), "flags": int(found.flags[k]),
            "ctags": int(m.ctags[k]), "triples": int(m.triples[k]), "kick_gauss": _or_none(1e4 * peak),
            "quad_kv": _or_none(1e-3 * volts), "t0_ns": _or_none(1e9 * float(m.t0[k])),
        })  # fmt: skip
    return rows


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
