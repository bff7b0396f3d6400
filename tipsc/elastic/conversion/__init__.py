"""Any torch module becomes elastic: see :func:`convert`."""

from tipsc.elastic.conversion.assemble import ConvertedSupernet
from tipsc.elastic.conversion.convert import convert
from tipsc.elastic.conversion.importance import Importance, norms, taylor
from tipsc.elastic.conversion.report import Report

__all__ = ["ConvertedSupernet", "Importance", "Report", "convert", "norms", "taylor"]
