"""tipsc: makes a PyTorch model anytime and compiles one path-switchable engine per edge device.

Importing this package imports neither torch nor onnx; each room loads what it needs itself.
"""

import os

__version__ = "0.1.0"
__all__ = ["__version__"]

# ONNX Runtime 1.32 writes an id of the device into the user's cache when it is imported, and sends
# events. It looks for this variable then, and only then; who wants its telemetry sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
