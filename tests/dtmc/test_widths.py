import random
from dataclasses import dataclass

import pytest
from toy import WIDTHS, toy_space, toy_steps

from tipsc.dtmc.graph import feature_graph, feature_maps
from tipsc.dtmc.tips import tips_sampler
from tipsc.dtmc.widths import with_width_groups


@dataclass(frozen=True)
class Sized:
    label: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


def sized_steps(path):
    """The toy supernet as a tracer sees it: shapes in place of groups."""
    shapes = {groups + 1: (1, width, 4, 4) for groups, width in enumerate(WIDTHS)}
    return [Sized(s.label, s.inputs, shapes[s.channel_groups]) for s in toy_steps(path)]


@pytest.mark.parametrize("seed", range(10))
def test_groups_from_shapes_give_the_graph_of_groups_by_hand(seed):
    space = toy_space()
    path = space.sample_options(random.Random(seed))
    grouped = with_width_groups(space, sized_steps)(path)
    assert feature_maps(grouped) == feature_maps(toy_steps(path))
    found, expected = feature_graph(grouped), feature_graph(toy_steps(path))
    assert found.nodes == expected.nodes
    assert found.tail.tolist() == expected.tail.tolist()
    assert found.head.tolist() == expected.head.tolist()


def test_few_traces_teach_the_sizes():
    space, traced = toy_space(), []
    with_width_groups(space, lambda path: traced.append(path) or sized_steps(path))
    assert len(traced) == len(WIDTHS)


def test_widths_count_only_with_groups():
    space = toy_space()
    blind = tips_sampler(space, sized_steps, random.Random(0))
    seeing = tips_sampler(space, with_width_groups(space, sized_steps), random.Random(0))
    for choice, without, effects in zip(space.choices, blind.effects, seeing.effects, strict=True):
        if choice.name.endswith("width"):
            assert without == (0.0, 0.0, 0.0)
            assert 0 < effects[1] < effects[2]
