"""Raw data as the experiment's data acquisition writes it: MIDAS files, one per subrun, one event per fill.

Writing: :class:`RunWriter` takes :class:`FillRecord` objects. Reading: :func:`open_run` gives events whose
samples are views of the file. The reader shares no code with the writer: each is a check of the other.
"""

from gm2sim.raw.asynchronous import AsynchronousRecord
from gm2sim.raw.check import Problem, check
from gm2sim.raw.decode import Gps, Island, Islands, QHistogram, Timing, Trigger
from gm2sim.raw.decode_amc13 import Amc13
from gm2sim.raw.decode_async import Asynchronous, Pulses
from gm2sim.raw.decode_boards import Board
from gm2sim.raw.decode_fc7 import ClockCrate, StrawWords
from gm2sim.raw.decode_waveforms import Waveforms
from gm2sim.raw.dump import dump, dump_lines, ls
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import Event
from gm2sim.raw.odb import run_tree
from gm2sim.raw.odb_settings import Readout
from gm2sim.raw.reader import RawRun, open_run
from gm2sim.raw.record import CalorimeterRecord, FillRecord, HistogramRecord, StrawRecord
from gm2sim.raw.resync import Lost
from gm2sim.raw.wfd5 import WaveformRecord
from gm2sim.raw.writer import RunWriter, WrittenFile

__all__ = [
    "Amc13",
    "Asynchronous",
    "AsynchronousRecord",
    "Board",
    "CalorimeterRecord",
    "ClockCrate",
    "Event",
    "FillRecord",
    "Gps",
    "HistogramRecord",
    "Island",
    "Islands",
    "Lost",
    "Problem",
    "Pulses",
    "QHistogram",
    "RawFormatError",
    "RawRun",
    "Readout",
    "RunWriter",
    "StrawRecord",
    "StrawWords",
    "Timing",
    "Trigger",
    "WaveformRecord",
    "Waveforms",
    "WrittenFile",
    "check",
    "dump",
    "dump_lines",
    "ls",
    "open_run",
    "run_tree",
]
