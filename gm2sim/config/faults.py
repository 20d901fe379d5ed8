"""What goes wrong in a run."""

from pydantic import Field

from gm2sim.config.section import Section


def _chance(what: str) -> float:
    """A probability, 0 unless somebody asks for it."""
    return Field(0.0, ge=0, le=1, description=f"chance that {what}")


class FaultsSection(Section):
    """Faults put in on purpose, for data quality; none unless asked for."""

    quad_spark: float = _chance("the voltage of all quads breaks down in a fill, at any time in it")
    quad_spark_us: float = Field(1.0, ge=0.05, le=100, description="time constant of that breakdown")
    missing_kick: float = _chance("the kickers do not fire in a fill")
    weak_kick: float = _chance("they fire too weakly")
    weak_kick_factor: float = Field(0.8, ge=0, le=2, description="amplitude of a weak kick over the set one")
    dead_crate: float = _chance("one calorimeter crate sends nothing in a fill")
    dead_crate_subrun: float = _chance("one calorimeter crate sends nothing in a subrun")
    tracker_trip: float = _chance("the high voltage of one tracker station trips in a fill")
    tracker_trip_fills: int = Field(16, ge=1, le=1_000_000, description="for how many fills it is off then")
    laser_off: float = _chance("the laser gives no light in a fill and in the event of the laser behind it")
    field_jump: float = _chance("the magnetic field jumps at a fill, for the rest of its subrun")
    field_jump_ppm: float = Field(10.0, ge=-1000, le=1000, description="size of that jump")

    @property
    def any(self) -> bool:
        """Whether anything can go wrong."""
        chances = (
            self.quad_spark, self.missing_kick, self.weak_kick, self.dead_crate, self.dead_crate_subrun,
            self.tracker_trip, self.laser_off, self.field_jump,
        )  # fmt: skip
        return any(chance > 0.0 for chance in chances)
