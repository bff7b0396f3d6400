"""The adapter's choices for each version of TensorRT, by the names that its bindings have.

``tensorrt_names.json`` was listed from NVIDIA's own wheels; its rows say which. What the names do
is not tested here: only that the adapter takes those that are there.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.execute import choose

INVENTORY = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
#: capability to the first and the last of the versions that have it
EXPECTED = {
    "strongly_typed": ("10.3", "11.4"),
    "explicit_batch": ("8.6", "10.13"),
    "shared_weights": ("10.13", "11.4"),
    "supports_model": ("10.3", "11.4"),
    "strip_plan": ("10.3", "11.4"),
    "refit_identical": ("10.3", "11.4"),
    "user_managed_memory": ("10.3", "11.4"),
    "without_device_memory": ("8.6", "10.13"),
    "execute_v3": ("8.6", "11.4"),
    "timing_cache": ("8.6", "11.4"),
    "set_device_memory": ("10.3", "11.4"),
    "memory_size_v2": ("10.3", "11.4"),
    "precision_flags": ("8.6", "10.13"),
    "tf32": ("8.6", "11.4"),
    "refit": ("10.3", "11.4"),
}
VERSIONS = list(INVENTORY)
#: what is used without asking
ALWAYS = [
    "Builder.create_network",
    "Builder.create_builder_config",
    "Builder.build_serialized_network",
    "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.clear_flag",
    "MemoryPoolType.WORKSPACE",
    "OnnxParser.num_errors",
    "OnnxParser.get_error",
    "OnnxParser.parse_from_file",
    "ParserError.desc",
    "Runtime.deserialize_cuda_engine",
    "ICudaEngine.create_execution_context",
    "DataType.INT32",
    "ILogger.log",
    "ILogger.Severity",
    "ICudaEngine.get_tensor_dtype",
    "ICudaEngine.get_tensor_location",
    "TensorLocation.HOST",
    "IExecutionContext.set_tensor_address",
]
#: what is used where a capability is there
WITH = {
    "shared_weights": ["OnnxParser.load_model_proto", "OnnxParser.parse_model_proto"],
    "timing_cache": ["IBuilderConfig.set_timing_cache"],
    "refit": ["Refitter.refit_cuda_engine"],
    "precision_flags": ["BuilderFlag.FP16"],
}


def module(version: str) -> SimpleNamespace:
    """An object that has these names and no others."""
    return SimpleNamespace(
        **{
            name: SimpleNamespace(**dict.fromkeys(members, 1))
            for name, members in INVENTORY[version]["names"].items()
        }
    )


def has(version: str, dotted: str) -> bool:
    name, member = dotted.split(".")
    return member in INVENTORY[version]["names"].get(name, ())


@pytest.mark.parametrize("version", VERSIONS)
def test_capabilities_are_those_of_the_version(version: str) -> None:
    place = VERSIONS.index(version)
    assert asdict(api.probe(module(version))) == {
        name: VERSIONS.index(first) <= place <= VERSIONS.index(last)
        for name, (first, last) in EXPECTED.items()
    }


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("8.6", ("without_memory", "device_memory", "device_memory_size")),
        ("10.3", ("user_managed", "set_device_memory", "device_memory_size_v2")),
        ("10.7", ("user_managed", "set_device_memory", "device_memory_size_v2")),
        ("10.13", ("user_managed", "set_device_memory", "device_memory_size_v2")),
        ("11.4", ("user_managed", "set_device_memory", "device_memory_size_v2")),
    ],
)
def test_contexts_are_made_the_newest_way(version: str, expected: tuple[str, ...]) -> None:
    choices = choose(api.probe(module(version)))
    assert (choices.context, choices.memory, choices.size) == expected
    assert has(version, f"ICudaEngine.{choices.size}")
    assert has(version, f"IExecutionContext.{choices.memory}")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_adapter_uses_is_there(version: str) -> None:
    wanted = list(ALWAYS)
    for capability, names in WITH.items():
        if getattr(api.probe(module(version)), capability):
            wanted += names
    assert [name for name in wanted if not has(version, name)] == []
