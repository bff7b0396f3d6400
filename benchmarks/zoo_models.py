"""The models of ``benchmarks/zoo.py``, which ``zoo.yaml`` lists.

Weights are random, and nothing that a fresh model has constant stays so: statistics of norms, their
weights, layer scales, tables of positions and whatever else begins with zeros or ones, behind which
a wrong conversion would hide.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path as File
from types import ModuleType
from typing import Any

import torch
import yaml
from torch import Tensor, nn

_LISTED = yaml.safe_load(File(__file__).with_name("zoo.yaml").read_text())


def _names() -> Iterator[str]:
    for family in _LISTED["timm"].values():
        yield from (f"timm/{name}" for name in family.split())
    for group in _LISTED["transformers"]:
        yield from (f"transformers/{name}" for name in group["models"].split())


NAMES = tuple(_names())


def make(name: str) -> tuple[nn.Module, Any]:
    """A model in eval mode, and a batch of two as it is called with it."""
    torch.manual_seed(0)
    package, _, own = name.partition("/")
    model, inputs = (_of_timm if package == "timm" else _of_transformers)(own)
    _vary(model)
    return model.eval(), inputs


def import_packages() -> None:
    """Both, so that they need not be imported for each model."""
    import transformers.modeling_utils  # noqa: F401

    sys.meta_path.insert(0, _Torchvision())
    import timm  # noqa: F401


def _of_timm(name: str) -> tuple[nn.Module, Any]:
    import timm

    model = timm.create_model(name, pretrained=False)
    return model, torch.randn(2, *model.default_cfg["input_size"])


def _of_transformers(name: str) -> tuple[nn.Module, Any]:
    import transformers

    group = next(g for g in _LISTED["transformers"] if name in g["models"].split())
    kind, (inputs, *sizes) = getattr(transformers, name), group["inputs"]
    model = kind(kind.config_class(**group.get("settings", {})))
    return model, _INPUTS[inputs](*sizes)


# ---- what models of transformers are called with


def _text() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, 200, (2, 16))}


def _masked_text() -> dict[str, Tensor]:
    mask = torch.ones(2, 16, dtype=torch.int64)
    mask[1, 11:] = 0
    return {**_text(), "attention_mask": mask}


def _two_texts() -> dict[str, Tensor]:
    return {**_text(), "decoder_input_ids": torch.randint(3, 200, (2, 7))}


def _signals(name: str, *shape: int) -> dict[str, Tensor]:
    return {name: torch.randn(2, *shape)}


def _image(side: int) -> dict[str, Tensor]:
    return _signals("pixel_values", 3, side, side)


_INPUTS: dict[str, Any] = {
    "text": _text,
    "masked_text": _masked_text,
    "two_texts": _two_texts,
    "signals": _signals,
    "image": _image,
    "image_and_text": lambda side: {**_image(side), **_masked_text()},
}


def _vary(model: nn.Module) -> None:
    """Gives random values to what a fresh model has the same everywhere."""
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if not value.is_floating_point() or not value.numel():
            continue
        leaf = name.rpartition(".")[2]
        with torch.no_grad():
            if "running_mean" in leaf:
                value.normal_(0, 0.1)
            elif "running_var" in leaf:
                value.uniform_(0.5, 1.5)
            elif isinstance(value, nn.Parameter) and bool((value == value.reshape(-1)[0]).all()):
                around = abs(float(value.reshape(-1)[0]))
                spread = 0.3 * around if around > 0.3 else 0.3
                value.add_(torch.empty_like(value).uniform_(-spread, spread))


class _Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules of torchvision with any name: timm imports them, its models do not use them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__version__"] = "0"
        module.__dict__["__getattr__"] = _any_name


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


def _any_name(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _AnyName(name, (), {})
