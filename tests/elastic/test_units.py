"""What an analysis has found is finished: pieces of axes are cut, and more is kept, in copies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from tipsc.convert.analyse import analyse
from tipsc.convert.blocks import residual_additions
from tipsc.convert.capture import capture
from tipsc.convert.choices import make_plan
from tipsc.convert.exits import Exits
from tipsc.convert.given import given_of
from tipsc.convert.units import Axis, Structure, UnitSet, axis_size, pieces


def sizes(axis: Axis) -> list[list[int]]:
    return [[units.size for units in term] for term in axis]


def test_pieces_end_where_terms_end() -> None:
    axis = ((UnitSet(4),), (UnitSet(2), UnitSet(3, "fixed")), (UnitSet(5),))
    before, cut, after = pieces(axis, (4, 6, 5))
    assert (before, cut, after) == (axis[:1], axis[1:2], axis[2:])


def test_a_piece_of_no_size_has_no_terms_and_one_of_size_one_has_one() -> None:
    assert pieces(((),), (0, 1, 0)) == [(), ((),), ()]


def test_what_stays_is_cut_anywhere_between_its_units() -> None:
    axis = ((UnitSet(4, "fixed"), UnitSet(3, "fixed")), (UnitSet(5),))
    found = pieces(axis, (9, 3, 5))
    assert [sizes(piece) for piece in found] == [[[3, 3]], [[1, 3]], [[5]]]
    assert found[0][0][0].fixed == "fixed" and found[2] == axis[1:]


@pytest.mark.parametrize(
    "axis",
    [((UnitSet(8),),), ((UnitSet(4, "fixed"), UnitSet(4, "fixed")),)],
    ids=["free", "inside"],
)
def test_no_border_lies_inside_of_units(axis: Axis) -> None:
    with pytest.raises(ValueError, match="border"):
        pieces(axis, (2, axis_size(axis) - 2))


def test_keeping_more_gives_another_structure() -> None:
    one, two = UnitSet(4), UnitSet(6)
    graph = fx.Graph()
    node, split = graph.placeholder("x"), graph.placeholder("y")
    structure = Structure({node: (((one,), (two,)),)}, {split: ((((one,),),), (((two,),),))})
    kept = structure.fixing([two], "not read")
    assert structure.axes[node] == (((one,), (two,)),)
    ((first,), (second,)) = kept.axes[node][0]
    assert first is one and (second.size, second.fixed) == (6, "not read")
    assert kept.several[split] == ((((one,),),), (((second,),),))
    assert kept.is_elastic(node) and not structure.fixing([one, two], "x").is_elastic(node)


class _Narrow(nn.Module):
    """One layer whose channels are cut, one that is too small for that, one of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.thin, self.head = nn.Linear(6, 32), nn.Linear(32, 1), nn.Linear(1, 5)
        self.qkv, self.out = nn.Linear(6, 48), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (p.unflatten(-1, (4, 4)).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        y = ((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + self.out(y)
        return self.head(torch.relu(self.thin(torch.relu(self.wide(x)))).mean(1))


def test_plans_are_made_in_any_order_of_one_structure() -> None:
    """A choice that is drafted changes nothing that another one, or the next plan, reads."""
    net = _Narrow().eval()
    program = capture(net, given_of(net, torch.randn(4, 9, 6)))
    structure = analyse(program, residual_additions(program))
    seen = {node: structure.all_axes(node) for node in structure.nodes()}
    coarse = make_plan(program, structure, [], [], [1.0], Exits(), {})
    fine = make_plan(program, structure, [], [], [0.5, 1.0], Exits(), {})
    assert coarse.space.choices == ()  # all were too few to choose from, for that plan
    assert {choice.name for choice in fine.space.choices} == {"wide.width", "qkv.heads"}
    assert seen == {node: structure.all_axes(node) for node in structure.nodes()}
