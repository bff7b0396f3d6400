"""Has TensorRT 8.6 take its own kernels only: those of cuDNN and cuBLAS have stand-ins here.

``make_tensorrt86.py`` puts this into its environment as ``sitecustomize``, which Python imports as
it starts: whatever imports TensorRT there has it, and neither tipsc nor NVIDIA's files know of it.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any


class OwnKernels(MetaPathFinder):
    """Finds ``tensorrt`` as the others do, and changes what it does after it was loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "tensorrt":
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_change(module: Any) -> None:
            load(module)
            _change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _change(trt: Any) -> None:
    make = trt.Builder.create_builder_config
    own = (trt.TacticSource.EDGE_MASK_CONVOLUTIONS, trt.TacticSource.JIT_CONVOLUTIONS)

    def create_builder_config(builder: Any) -> Any:
        config = make(builder)
        config.set_tactic_sources(sum(1 << int(source) for source in own))
        return config

    trt.Builder.create_builder_config = create_builder_config


sys.meta_path.insert(0, OwnKernels())
