"""ONNX files as torch modules, so that a model of which nothing else is left can be converted."""

from tipsc.from_onnx.module import OnnxModel
from tipsc.from_onnx.read import read_onnx

__all__ = ["OnnxModel", "read_onnx"]
