"""The package of ONNX Runtime, or a sentence on why it cannot be had."""

from __future__ import annotations

from tipsc.errors import MissingExtraError

try:
    import onnxruntime as ort
except ImportError as error:
    if error.name != "onnxruntime":  # it is there, and something that it needs is not
        raise MissingExtraError(
            f"the package onnxruntime cannot be loaded: {error}",
            fix="install it again, or what it names",
        ) from error
    raise MissingExtraError(
        "the backend onnxruntime needs the package onnxruntime, which is not installed",
        fix="run: pip install onnxruntime",
    ) from error

__all__ = ["ort"]
