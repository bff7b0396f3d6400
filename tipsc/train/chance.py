"""Chance as a pure function of names and numbers.

Each step seeds its own generators from the training seed and the step's number. Then no state of
a random generator has to be kept in a checkpoint, and a resumed training cannot drift.
"""

from __future__ import annotations

import hashlib

import torch


def seed_of(*parts: object) -> int:
    """A number below 2**63 that depends on all the parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def torch_generator(*parts: object) -> torch.Generator:
    """A generator on the CPU that depends on all the parts."""
    return torch.Generator().manual_seed(seed_of(*parts))
