"""Any torch module becomes elastic, exactly, or is refused with the reason."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import pytest
import torch
from architectures import ARCHITECTURES, make
from architectures import sequential as seq
from comparing import apart, executed_macs, exported, masked

from tipsc.convert import convert
from tipsc.elastic import CostModel, additive_totals, extract
from tipsc.errors import ConversionError

PATHS = 12
TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name: str) -> None:
    model, x = make(name)
    supernet = convert(model, x)
    space, generator = supernet.space, random.Random(1)
    depths = sum(row.kind == "depth" for row in supernet.report.elastic)
    assert (len(space.choices) - depths, depths) == ARCHITECTURES[name][2:], str(supernet.report)
    other = torch.randint(0, 17, x.shape) if x.dtype == torch.int64 else torch.randn(x.shape)
    with torch.no_grad():
        assert apart(supernet(other[:3], space.largest), model(other[:3])) < TOLERANCE
        for path in (space.smallest, *(space.sample_options(generator) for _ in range(PATHS))):
            expected = extract(supernet, path)(other[:2])
            assert apart(supernet(other[:2], path), expected) < TOLERANCE
    costs = CostModel(supernet)
    executed = {p: executed_macs(supernet, p, other[:1]) for p in (space.largest, space.smallest)}
    ends = [costs.of(path).macs for path in executed]
    assert executed[space.largest] - executed[space.smallest] == ends[0] - ends[1]
    drawn = [space.largest, space.smallest, *(space.sample_options(generator) for _ in range(5))]
    totals = additive_totals(supernet)
    assert all(totals["macs"].of(p) == costs.of(p).macs for p in drawn)
    assert costs.of(space.smallest).macs < costs.of(space.largest).macs
    assert max(map(len, str(supernet.report).splitlines())) <= 100


COUNTED = {"MultiheadAttention across": "queries.width"}
"""Choices of a size over which the model takes a mean: dropping is not the same as zeros."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_path_is_the_whole_model_without_the_units_that_it_drops(name: str) -> None:
    """Units that meet somewhere are the same units: full size, with zeros for what is dropped.

    Extraction uses the same cuts as the supernet, so it would agree with a misplaced unit; in the
    whole model every unit has its own place.
    """
    model, x = make(name)
    supernet = convert(model, x)
    space, generator = supernet.space, random.Random(3)
    depths = {row.name for row in supernet.report.elastic if row.kind == "depth"}
    for path in (space.smallest, *(space.sample_options(generator) for _ in range(3))):
        if name in COUNTED:  # a zero still counts in a mean
            path = space.path({**path.options, COUNTED[name]: space[COUNTED[name]].largest})
        whole = space.path(
            {n: option if n in depths else space.largest[n] for n, option in path.options.items()}
        )
        with torch.no_grad():
            expected = masked(supernet, path)(x[:2], whole)
            assert apart(supernet(x[:2], path), expected) < TOLERANCE, path


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_export_serves_all_paths(name: str, tmp_path: FilePath) -> None:
    model, x = make(name)
    supernet = convert(model, x)
    space, generator = supernet.space, random.Random(2)
    paths = [space.largest, space.smallest, *(space.sample_options(generator) for _ in range(4))]
    for path, got in exported(supernet, paths, x[:1], tmp_path):
        with torch.no_grad():
            assert apart(got, supernet(x[:1], path)) < TOLERANCE


def test_control_flow_on_values_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError, match=r"DataDependent.*depends on the values") as caught:
        convert(seq.DataDependent(), torch.randn(2, 8))
    assert caught.value.exit_code == 1
    assert capfd.readouterr() == ("", "")  # torch.export's own graph and warnings
