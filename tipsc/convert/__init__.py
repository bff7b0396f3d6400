"""Any torch module becomes elastic: see :func:`convert`."""

from tipsc.convert.convert import convert
from tipsc.convert.converted import ConvertedSupernet
from tipsc.convert.fit import fit_exits
from tipsc.convert.importance import Importance, norms, taylor
from tipsc.convert.report import Report

__all__ = ["ConvertedSupernet", "Importance", "Report", "convert", "fit_exits", "norms", "taylor"]
