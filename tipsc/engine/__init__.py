"""The engine file: K paths and one copy of the weights in one hashed, mmapped file.

Needs the standard library alone. :mod:`tipsc.runtime` runs what is read here.
"""

from tipsc.engine.limits import Limits
from tipsc.engine.manifest import Latency, Manifest, PathEntry
from tipsc.engine.plan import DevicePlan
from tipsc.engine.read import EngineFile, parse_engine, read_engine
from tipsc.engine.unpack import unpack
from tipsc.engine.write import write_engine, write_tflite_engine

__all__ = [
    "EngineFile",
    "Latency",
    "Limits",
    "Manifest",
    "PathEntry",
    "DevicePlan",
    "parse_engine",
    "read_engine",
    "unpack",
    "write_engine",
    "write_tflite_engine",
]
