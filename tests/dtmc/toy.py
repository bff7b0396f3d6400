"""A small supernet for the tests: stages of blocks with elastic depth, width and a skip."""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.paths import Choice, Path, SearchSpace


@dataclass(frozen=True)
class ToyStep:
    label: str
    inputs: tuple[str, ...]
    channel_groups: int = 1
    channelwise: bool = False


@dataclass(frozen=True)
class BareStep:
    """The least that the chain asks of a step."""

    label: str
    inputs: tuple[str, ...]


WIDTHS = (16, 24, 32)


def toy_space(stages: int = 2, blocks: int = 3) -> SearchSpace:
    choices = []
    for stage in range(stages):
        depth = f"s{stage}.depth"
        choices.append(Choice(depth, tuple(range(1, blocks + 1))))
        choices.extend(
            Choice(f"s{stage}.b{block}.width", WIDTHS, depth, block + 1) for block in range(blocks)
        )
    return SearchSpace(tuple(choices))


def toy_steps(path: Path) -> list[ToyStep]:
    steps = [ToyStep("stem", ("input",))]
    stage = 0
    while f"s{stage}.depth" in path.options:
        for block in range(path[f"s{stage}.depth"]):
            name, source = f"s{stage}.b{block}", steps[-1].label
            groups = WIDTHS.index(path[f"{name}.width"]) + 1
            steps.append(ToyStep(f"{name}.expand", (source,), groups))
            steps.append(ToyStep(f"{name}.depthwise", (f"{name}.expand",), groups, True))
            steps.append(ToyStep(f"{name}.project", (f"{name}.depthwise",)))
            if block:
                steps.append(ToyStep(f"{name}.add", (f"{name}.project", source)))
        stage += 1
    steps.append(ToyStep("head", (steps[-1].label,)))
    return steps


def bare(steps: list[ToyStep]) -> list[BareStep]:
    return [BareStep(step.label, step.inputs) for step in steps]
