"""Any torch module becomes elastic: see :func:`convert`."""

from tipsc.elastic.conversion.convert import convert
from tipsc.elastic.conversion.converted import ConvertedSupernet
from tipsc.elastic.conversion.fit import fit_exits
from tipsc.elastic.conversion.importance import Importance, norms, taylor
from tipsc.elastic.conversion.report import Report

__all__ = ["ConvertedSupernet", "Importance", "Report", "convert", "fit_exits", "norms", "taylor"]
