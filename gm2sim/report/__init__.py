"""The report of a run: pictures, and numbers beside the published ones, in one file that works offline."""

from gm2sim.report.build import build_report, report

__all__ = ["build_report", "report"]
