"""What `tipsc run` and `tipsc inspect` do with engines for several examples at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tipsc.cli.app import tipsc
from tipsc.cli.input_file import load_inputs
from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.engine.manifest import entry_ids
from tipsc.errors import DataError
from tipsc.lower import lower
from tipsc.signature import TensorSpec

SPEC = TensorSpec("x", "float32", (1, 4), "NC")


def saved(folder: Path, *shape: int) -> Path:
    np.save(folder / "x.npy", np.ones(shape, np.float32))
    return folder / "x.npy"


@pytest.mark.parametrize(("shape", "becomes"), [((4,), (1, 4)), ((1, 4), (1, 4)), ((3, 4), (3, 4))])
def test_a_file_may_have_as_many_examples_as_a_path_takes(
    tmp_path: Path, shape: tuple[int, ...], becomes: tuple[int, ...]
) -> None:
    (array,) = load_inputs(saved(tmp_path, *shape), [SPEC], (1, 3))
    assert array.shape == becomes


def test_another_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected float32\[1, 4\] or float32\[3, 4\], got .*2, 4"):
        load_inputs(saved(tmp_path, 2, 4), [SPEC], (1, 3))
    with pytest.raises(DataError, match="does not fit"):  # one example alone is none of three
        load_inputs(saved(tmp_path, 4), [SPEC], (3,))


def test_run_takes_the_path_for_what_the_file_has(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from tipsc.convert import convert

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    supernet = convert(net, torch.randn(2, 4), widths=(0.5, 1.0))
    paths, batches = [supernet.space.smallest, supernet.space.largest], (1, 3)
    lowered = lower(supernet, paths, batches=batches)
    entries = tuple(
        PathEntry(name, dict(p.items), None, Latency(1, 1 + i, 2 + i), i, 0, 0, 0, size)
        for i, p in enumerate(paths)
        for name, size in entry_ids(p.id, batches).items()
    )
    space = list(supernet.space.to_json())
    manifest = Manifest("m", "host", "onnxruntime", lowered.signature, entries, space)
    file = tmp_path / "m.tipsc"
    lowered.write(file, manifest)
    for shape, ends in (((3, 4), "x3"), ((4,), "")):
        given = ["run", str(file), "--input", str(saved(tmp_path, *shape)), "--budget-ms", "9"]
        found = CliRunner().invoke(tipsc, given)
        assert found.exit_code == 0, found.output
        assert f"path     {supernet.space.largest.id}{ends}\n" in found.output
    assert "a call has 1 or 3" in CliRunner().invoke(tipsc, ["inspect", str(file)]).output
