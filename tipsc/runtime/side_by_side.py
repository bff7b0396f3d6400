"""Versions of an engine side by side: a key has one of them, and each has a share of keys."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from tipsc.errors import UsageError, listed
from tipsc.runtime.call import Result
from tipsc.runtime.governor import Governor


class SideBySide:
    """Runs each call on the version that its key has.

    A key (a user, a device, a session) has the same version in every call, process and language:
    the first 8 bytes of SHA-256 of ``salt``, a zero byte and the key, both in UTF-8, as a
    big-endian number over 2^64, are its place from 0 to 1, where versions have ranges one behind
    the other. So when the share of the first version grows, keys only move to that one. Another
    salt gives groups that have nothing to do with these.

    Args:
        governors: of each version, whose engines are open; they share one arena for activations.
        shares: of keys, by version, in the order of their ranges; their sum is 1.
        salt: name of the experiment.

    Raises:
        UsageError: shares are not of these versions, or are no shares.
    """

    def __init__(
        self, governors: Mapping[str, Governor], shares: Mapping[str, float], *, salt: str = ""
    ) -> None:
        if set(governors) != set(shares) or not shares:
            raise UsageError(
                "each version has a governor and a share",
                where="shares",
                expected=listed(governors),
                got=listed(shares),
            )
        total = math.fsum(shares.values())
        if not all(0 <= share <= 1 for share in shares.values()) or abs(total - 1) > 1e-9:
            raise UsageError(
                "these are no shares of keys",
                where="shares",
                expected="numbers from 0 to 1 whose sum is 1",
                got=dict(shares),
            )
        self._governors, self._salt = dict(governors), salt
        ends = accumulate(shares.values())
        self._ends = [(end, version) for version, end in zip(shares, ends, strict=True)]
        self._last = next(version for version in reversed(list(shares)) if shares[version] > 0)

    def version(self, key: str) -> str:
        """The version that a key has."""
        digest = hashlib.sha256(f"{self._salt}\0{key}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        return next((version for end, version in self._ends if place < end), self._last)

    def run(
        self,
        x: Any,
        *,
        key: str,
        budget_ms: float | None = None,
        per_second: float | None = None,
        budget_mj: float | None = None,
        watts: float | None = None,
    ) -> tuple[str, Result]:
        """The version that the key has, and its result; see :meth:`tipsc.runtime.Governor.run`."""
        version = self.version(key)
        return version, self._governors[version].run(
            x, budget_ms=budget_ms, per_second=per_second, budget_mj=budget_mj, watts=watts
        )
