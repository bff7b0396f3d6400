"""Run an engine: numpy, one backend, and nothing of the compiler.

::

    with Engine.open("model-host.tipsc") as engine:
        path = engine.pick(budget_ms=12)
        logits = engine.run(image, path=path)
"""

from tipsc.engine.limits import Limits
from tipsc.engine.manifest import Latency, Manifest, PathEntry
from tipsc.runtime.call import CallRecord, Result
from tipsc.runtime.call_log import CallLog
from tipsc.runtime.context import Context
from tipsc.runtime.engine import Engine
from tipsc.runtime.explain import Explanation, Outlook
from tipsc.runtime.governor import Governor
from tipsc.runtime.pick import pick
from tipsc.runtime.rule import Mode, Reason
from tipsc.runtime.side_by_side import SideBySide
from tipsc.runtime.stream import Stream
from tipsc.signature import Signature, TensorSpec

__all__ = [
    "CallLog",
    "CallRecord",
    "Context",
    "Engine",
    "Explanation",
    "Governor",
    "Latency",
    "Limits",
    "Manifest",
    "Mode",
    "Outlook",
    "PathEntry",
    "Reason",
    "Result",
    "SideBySide",
    "Signature",
    "Stream",
    "TensorSpec",
    "pick",
]
