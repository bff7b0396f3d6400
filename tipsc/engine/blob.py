"""Tensors by content, each stored once; one that begins another is stored within it."""

from __future__ import annotations

#: bytes; of a tensor in the blob: the widest vector load, and a cache line
ALIGNMENT = 64


class Blob:
    """Grows as tensors are added. Add the longest first, so that others can begin them."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._stored: dict[bytes, list[tuple[int, int]]] = {}

    def add(self, tensor: bytes | memoryview) -> int:
        """Store `tensor` if it is not there yet; its offset."""
        tensor = bytes(tensor)
        candidates = self._stored.setdefault(tensor[:ALIGNMENT], [])
        for offset, length in candidates:
            if length >= len(tensor) and self.content.startswith(tensor, offset):
                return offset
        offset = self.add_alone(tensor)
        candidates.append((offset, len(tensor)))
        return offset

    def add_alone(self, tensor: bytes | memoryview) -> int:
        """Store `tensor` at a place that no other tensor shares; its offset."""
        self.content += bytes(-len(self.content) % ALIGNMENT)
        offset = len(self.content)
        self.content += tensor
        return offset
