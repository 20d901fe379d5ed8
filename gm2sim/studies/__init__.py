"""Systematic studies: paired differences of tracked muons, each with its error, formula and published value.

    g2.studies.e_field(cfg)            # C_e = 471.3 +- 1.2 ppb (published 471, formula 469.8)
    g2.studies.studies()               # all of them by name

Each study is one file: a function of a :class:`gm2sim.studies.case.Case` under one line of
:func:`gm2sim.studies.registry.study`, named here.
"""

from gm2sim.studies.acceptance import acceptance
from gm2sim.studies.acceptance_map import Acceptance, load_acceptance
from gm2sim.studies.cbo import cbo
from gm2sim.studies.differential_decay import differential_decay
from gm2sim.studies.e_field import e_field
from gm2sim.studies.edm import edm
from gm2sim.studies.fast_rotation import fast_rotation
from gm2sim.studies.injection_efficiency import injection_efficiency
from gm2sim.studies.kick_scan import kick_scan
from gm2sim.studies.kicker_transient import kicker_transient
from gm2sim.studies.momentum_time import momentum_time
from gm2sim.studies.muon_loss import muon_loss
from gm2sim.studies.n_scan import n_scan
from gm2sim.studies.outcome import Outcome
from gm2sim.studies.phase_acceptance import phase_acceptance
from gm2sim.studies.pitch import pitch
from gm2sim.studies.quad_misalignment import quad_misalignment
from gm2sim.studies.quad_transient import quad_transient
from gm2sim.studies.radial_field import radial_field
from gm2sim.studies.registry import Study, run_study, studies
from gm2sim.studies.rf_damping import rf_damping
from gm2sim.studies.scraping import scraping
from gm2sim.studies.sensitivity import sensitivity

__all__ = [
    "Acceptance",
    "Outcome",
    "Study",
    "acceptance",
    "cbo",
    "differential_decay",
    "e_field",
    "edm",
    "fast_rotation",
    "injection_efficiency",
    "kick_scan",
    "kicker_transient",
    "load_acceptance",
    "momentum_time",
    "muon_loss",
    "n_scan",
    "phase_acceptance",
    "pitch",
    "quad_misalignment",
    "quad_transient",
    "radial_field",
    "rf_damping",
    "run_study",
    "scraping",
    "sensitivity",
    "studies",
]
