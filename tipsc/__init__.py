"""tipsc: makes a PyTorch model anytime and compiles one path-switchable engine per edge device.

Importing this package imports neither torch nor onnx; each room loads what it needs itself.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
