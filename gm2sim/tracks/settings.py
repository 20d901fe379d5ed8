"""How tracks are found, fitted, extrapolated and chosen."""

from dataclasses import dataclass, field

from gm2sim.tracks.drift import DriftTable, linear_drift


@dataclass(frozen=True)
class TrackSettings:
    """Settings of the track reconstruction.

    Parameters
    ----------
    gap
        Hits of a station further apart in time begin another island [s]; N. Kinnaird, dissertation (2020): 40 ns.
    longest
        Of an island [s]; the same: 80 to 100 ns.
    least_planes
        Layers with a hit that a track needs; the same: 5.
    least_hits
        That are fitted; six parameters want seven.
    road
        Half width of the search for hits of a track, view by view [m]: a straw's radius, and 2 mm by which a
        parabola may stray.
    views
        Largest distance of a hit of V from the track in U, in straws; the same: 4.
    drift
        Drift relation; constant velocity by default, better `gm2sim.tracks.drift.calibrate_drift`.
    scattering
        Whether the fit allows for scattering in the straws.
    outlier
        Hits with a larger residual, in its standard deviations, are taken out one by one.
    fit_step, step
        Longest step in the station, and on the way to vertex and calorimeter [m].
    longest_path
        From the station back to the vertex [m].
    radial_shift
        Added to the radial place of the tangent point to get the decay's [m]. The tangent point is the outermost point
        of the path, a decay is never further out: -0.8 mm on average in simulation (docs/physics/tracks.md); N.
        Kinnaird, dissertation (2020), corrects by 1.1 mm.
    """

    gap: float = 40e-9
    longest: float = 100e-9
    least_planes: int = 5
    least_hits: int = 7
    road: float = 4.5e-3
    views: float = 4.0
    drift: DriftTable = field(default_factory=linear_drift)
    scattering: bool = True
    outlier: float = 5.0
    fit_step: float = 0.07
    step: float = 0.05
    longest_path: float = 12.0
    radial_shift: float = -0.8e-3

    def __post_init__(self) -> None:
        bounds = {
            "gap": (1e-9, 1e-6), "longest": (1e-8, 1e-5), "least_planes": (4, 32), "least_hits": (7, 40),
            "road": (2e-3, 2e-2), "views": (1.0, 32.0), "outlier": (2.0, 100.0), "fit_step": (1e-3, 0.2),
            "step": (1e-3, 0.1), "longest_path": (1.0, 30.0), "radial_shift": (-0.01, 0.01),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} of the tracks = {value} is out of bounds: give {low:g} to {high:g}.")


@dataclass(frozen=True)
class Cuts:
    """Which tracks and vertices are good; defaults of N. Kinnaird, dissertation (2020), as far as they apply.

    Parameters
    ----------
    p_value
        Least probability of the fit.
    planes
        Least number of layers with a fitted hit.
    missed
        Largest part of the layers whose straws the track crosses that have no hit.
    entrance_x
        Place of the entrance in the station frame, from and to [m]. Best estimate: all straws; the dissertation has
        60 to 150 mm in a frame that it does not define.
    entrance_y
        Largest height of the entrance [m].
    residual
        Largest residual of a hit [m].
    sigma_x, sigma_y
        Errors of the vertex, from and to [m].
    metal
        Whether a path back to the vertex may cross metal.
    """

    p_value: float = 0.05
    planes: int = 12
    missed: float = 0.3
    entrance_x: tuple[float, float] = (0.0, 0.2)
    entrance_y: float = 0.040
    residual: float = 0.5e-3
    sigma_x: tuple[float, float] = (0.5e-3, 5e-3)
    sigma_y: tuple[float, float] = (0.5e-3, 3.5e-3)
    metal: bool = False
