"""The sandwich rule (US-Nets, arXiv 1903.05134): largest, smallest, the rest uniform."""

from __future__ import annotations

from tipsc.dtmc.samplers import Sandwich
from tipsc.elastic import Supernet


def make(supernet: Supernet, seed: int) -> Sandwich:
    return Sandwich(supernet.space)
