"""From tables of conditions to what the digitisers of the calorimeters want."""

from detectors.digitizer import ChannelConstants
from gm2sim.conditions.folders import CALO_GAIN, CALO_PEDESTAL
from gm2sim.conditions.table import Conditions

CALORIMETER_FOLDERS = (CALO_GAIN.name, CALO_PEDESTAL.name)
"""What every run needs."""


def calorimeter_constants(conditions: Conditions, run: int, subrun: int = 0) -> ChannelConstants:
    """Gains and pedestals of all channels in one subrun.

    Parameters
    ----------
    conditions : Conditions
    run, subrun : int

    Returns
    -------
    ChannelConstants
        Arrays (24, 54).

    Raises
    ------
    ConditionsError
        They are missing for the subrun.
    """
    gain = conditions.table(CALO_GAIN.name, run, subrun)
    pedestal = conditions.table(CALO_PEDESTAL.name, run, subrun)
    return ChannelConstants(gain["counts_per_gev"], pedestal["pedestal"], pedestal["even_odd"])
