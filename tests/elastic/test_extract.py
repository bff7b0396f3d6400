"""A path as a plain module: the same outputs, and nothing of tipsc in it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path as FilePath

import pytest
import torch
from supernets import ALL, inputs, make

from tipsc.elastic import Statistics, extract
from tipsc.errors import LoweringError, PathError

PATHS = 60
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", ALL)
def test_extracted_path_computes_what_the_supernet_does(name: str) -> None:
    supernet = make(name)
    generator = random.Random(1)
    space = supernet.space
    paths = [space.largest, space.smallest, *(space.sample(generator) for _ in range(PATHS))]
    x = inputs(supernet, 3)
    outputs = set()
    for path in paths:
        with torch.no_grad():
            expected = supernet(x, path)
            got = extract(supernet, path)(x)
        torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)
        outputs.add(tuple(expected.flatten().tolist()))
    assert len(outputs) == len(set(paths))  # different paths are different functions


@pytest.mark.parametrize("name", ALL)
def test_extracted_module_is_torch_alone(name: str) -> None:
    module = extract(make(name), make(name).space.largest)
    for child in module.modules():
        if child is not module:
            # Containers that fx makes for dotted names are plain nn.Module.
            assert type(child).__module__.startswith("torch.nn."), type(child)
    assert all(type(value) in (torch.Tensor, torch.nn.Parameter) for value in
               (*module.parameters(), *module.buffers()))  # fmt: skip
    assert "tipsc" not in module.code
    assert not any("scale_frozen" in key for key in module.state_dict())
    for node in module.graph.nodes:
        assert "tipsc" not in repr(node.meta), node


def test_exported_file_runs_where_tipsc_cannot_be_imported(tmp_path: FilePath) -> None:
    supernet = make("mobilenet")
    module = extract(supernet, supernet.space.smallest)
    x = inputs(supernet, 2)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "path.pt2")
    with torch.no_grad():
        torch.save((x, module(x)), tmp_path / "expected.pt")
    script = """
import sys
sys.modules["tipsc"] = None  # any import of it fails
import torch
module = torch.export.load(sys.argv[1]).module()
x, expected = torch.load(sys.argv[2], weights_only=True)
torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)
try:
    import tipsc
except ImportError:
    print("ran without tipsc")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "path.pt2", tmp_path / "expected.pt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "ran without tipsc\n", done.stderr


def test_extracted_weights_are_copies() -> None:
    supernet = make("by hand")
    path = supernet.space.largest
    module = extract(supernet, path)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            value.zero_()
    for name, value in supernet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_statistics_take_the_place_of_the_running_ones() -> None:
    supernet = make("by hand")
    path = supernet.space.largest
    statistics = Statistics(path.id, {"norm": torch.full((8,), 3.0)}, {"norm": torch.ones(8) * 7})
    norm = extract(supernet, path, statistics).get_submodule("norm")
    assert norm.running_mean.tolist() == [3.0] * 8
    assert norm.running_var.tolist() == [7.0] * 8


def test_statistics_of_another_path_are_refused() -> None:
    supernet = make("by hand")
    with pytest.raises(PathError, match="belong to another path"):
        extract(supernet, supernet.space.largest, Statistics(supernet.space.smallest.id))


def test_control_flow_on_values_is_refused_with_the_reason() -> None:
    supernet = make("by hand")
    forward = supernet.forward
    supernet.forward = lambda x, path: forward(x if x.sum() > 0 else -x, path)  # type: ignore
    with pytest.raises(LoweringError, match="cannot be traced"):
        extract(supernet, supernet.space.largest)


@pytest.mark.parametrize("name", ALL)
def test_extraction_leaves_the_mode_alone(name: str) -> None:
    supernet = make(name).train()
    assert not extract(supernet, supernet.space.smallest).training
    assert all(module.training for module in supernet.modules())
