"""Run an engine: numpy, one backend, and nothing of the compiler.

::

    with Engine.open("model-host.tipsc") as engine:
        path = engine.pick(budget_ms=12)
        logits = engine.run(image, path=path)
"""

from tipsc.engine.limits import Limits
from tipsc.engine.manifest import Latency, Manifest, PathEntry
from tipsc.runtime.context import Context
from tipsc.runtime.engine import Engine
from tipsc.runtime.governor import Governor, Result
from tipsc.runtime.pick import pick
from tipsc.runtime.stream import Stream
from tipsc.signature import Signature, TensorSpec

__all__ = [
    "Context",
    "Engine",
    "Governor",
    "Latency",
    "Limits",
    "Manifest",
    "PathEntry",
    "Result",
    "Signature",
    "Stream",
    "TensorSpec",
    "pick",
]
