"""Uniform sampling (single-path one-shot, arXiv 1904.00420)."""

from __future__ import annotations

from tipsc.dtmc.samplers import Uniform
from tipsc.elastic import Supernet


def make(supernet: Supernet, seed: int) -> Uniform:
    return Uniform(supernet.space)
