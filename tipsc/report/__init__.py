"""What a build was: tables for the terminal and one self-contained HTML page. Needs no torch."""

from tipsc.report.data import BuildReport, Curve, FeatureMap, Point, Shipped, StageTime
from tipsc.report.notes import goal_lines
from tipsc.report.page import render, write
from tipsc.report.tables import legend, sharing_tables, shipped_table, stages_table

__all__ = [
    "Curve",
    "FeatureMap",
    "Point",
    "BuildReport",
    "Shipped",
    "StageTime",
    "goal_lines",
    "legend",
    "render",
    "sharing_tables",
    "shipped_table",
    "stages_table",
    "write",
]
