"""What changes from turn to turn: quad voltages, transient fields, the entry at injection.

A ring that changes has a table with rows of its own for every turn; the steps and the march are the same. What
changes is taken at the time at which the reference muon passes: muons of other momenta, and those at the ends of
the bunch, come up to 0.1 us earlier or later, which moves a voltage that relaxes in 5 us by 2 % of what is left
of its change, and nothing that relaxes in 100 us. The total energy of a muon stays constant: a plate that rises
by some kV in thousands of passages changes it by less than 1 keV, 3e-7 of the momentum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracking.pieces import potential_units
from tracking.schemes import SCHEMES
from tracking.stations import RingTables, Slots, StationTable, electric_columns, with_angles
from tracking.step import HEAD

FloatArray = NDArray[np.float64]
TWO_PI = 2.0 * np.pi


@dataclass(frozen=True, eq=False)
class DipoleChange:
    """A vertical field added over an arc of the ring.

    Attributes
    ----------
    theta_start, theta_end
        The arc, within 0 to 2 pi [rad].
    field
        Fill times [s], shape (k,) -> field [T], shape (k,).
    """

    theta_start: float
    theta_end: float
    field: Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Changes:
    """What changes during a fill.

    Attributes
    ----------
    until
        Fill time after which nothing changes any more [s]; inf: never.
    potential
        (name of a quad, fill times (k,)) -> coefficients a_n of its potential at 45 mm [V], complex (k, order + 1);
        None: the quads are constant.
    dipoles
        Fields that are added. The rows need room for a map: ``magnetic_order`` of 1 or more in
        :func:`tracking.stations.ring_tables`.
    """

    until: float
    potential: Callable[[str, FloatArray], NDArray[np.complex128]] | None = None
    dipoles: tuple[DipoleChange, ...] = ()


def timed_table(
    tables: RingTables, changes: Changes | None, first: int, turns: int, before: int = 0, entry: float = 0.0
) -> StationTable:
    """The table of a ring with rows of its own for each of some turns.

    Parameters
    ----------
    tables
        The ring.
    changes
        What changes; None where only the kickers' clocks and the entry do.
    first, turns
        First turn, counted from the begin of tracking, and number of turns.
    before
        Turns of the fill before the begin of tracking.
    entry
        Azimuth at which the muons enter in turn 0; the ring before it is left out of that turn [rad].
    """
    static = tables.stations
    rows = np.repeat(static.rows[None], turns, axis=0)
    stage_rows = np.repeat(static.stage_rows[None], turns, axis=0)
    for table, slots in ((rows, tables.slots), (stage_rows, tables.stage_slots)):
        change_rows(table, slots, tables, changes, first, before)
    if entry > 0.0 and first == 0:
        _enter(rows[0], tables.slots, entry, joined=True)
        _enter(stage_rows[0], tables.stage_slots, entry, joined=False)
    width = tables.options.row_length
    return static._replace(
        rows=with_angles(rows.reshape(-1, width)),
        stage_rows=with_angles(stage_rows.reshape(-1, width)),
        turns=turns,
        first=first,
        entry=entry,
    )


def change_rows(
    table: FloatArray, slots: Slots, tables: RingTables, changes: Changes | None, first: int, before: int
) -> None:
    """Write what changes into rows (turns, rows, row_length), in place."""
    options, ref = tables.options, tables.reference
    turn = np.arange(first, first + table.shape[0], dtype=np.float64)
    if options.pulsed >= 0:
        table[:, :, options.pulse_column] += TWO_PI * turn[:, None]
    if changes is None:
        return
    for number, quad in enumerate(tables.ring.quads):
        here = np.flatnonzero(slots.quad == number)
        if changes.potential is None or here.size == 0:
            continue
        middle = 0.5 * (quad.theta_start + quad.theta_end)
        a_n = changes.potential(quad.name, ref.period * (before + turn + middle / TWO_PI))
        units = potential_units(ref, a_n.shape[1])
        columns = electric_columns(a_n * units, slots.length[here], options, SCHEMES[tables.scheme], ref)
        table[:, here, 4:6] = columns[:, :, :2]
        table[:, here, HEAD : HEAD + options.electric_columns] = columns[:, :, 2:]
    column = HEAD + options.electric_columns
    for dipole in changes.dipoles:
        inside = np.minimum(slots.start + slots.length, dipole.theta_end) - np.maximum(slots.start, dipole.theta_start)
        share = slots.weight * np.maximum(inside, 0.0)
        middle = 0.5 * (dipole.theta_start + dipole.theta_end)
        field = dipole.field(ref.period * (before + turn + middle / TWO_PI)) / ref.b0
        table[:, :, column] += field[:, None] * share
        if options.magnetic > 0:  # (1 + u) times the field
            table[:, :, column + 2] += field[:, None] * share


def _enter(rows: FloatArray, slots: Slots, entry: float, *, joined: bool) -> None:
    """Leave out of the rows of one turn all that lies before the entry, in place."""
    gone = slots.place <= entry
    rows[gone] = 0.0
    rows[gone, 5] = 1.0  # the commutator is divided by the gradient
    if joined:  # a station begins with the whole bend from the one before
        after = int(np.argmin(gone))
        rows[after, 0] = slots.place[after] - entry
