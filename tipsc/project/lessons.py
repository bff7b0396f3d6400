"""What the paths of a configuration learn from; keys that would have no effect are refused."""

from __future__ import annotations

from collections.abc import Set

from tipsc.errors import ConfigError
from tipsc.project.loading import Model
from tipsc.train import TrainConfig


def teacher_of(settings: TrainConfig, given: Set[str], model: Model) -> float | None:
    """Share of the loss that is against the original's answers; None without an original.

    Args:
        settings: of the configuration.
        given: the keys of its section ``train`` that the user wrote.

    Raises:
        ConfigError: a key has no effect on this model and its data.
    """
    if model.original is None:
        if "teacher_share" in given:
            raise ConfigError(
                "there is no original whose answers could be learned: the model is a supernet",
                where="train.teacher_share",
                fix="remove it; `distill: true` lets the largest path teach the others",
            )
        return None
    phases = [f"train.phases.{i}.distill" for i, p in enumerate(settings.phases) if p.distill]
    if settings.distill or phases:
        raise ConfigError(
            "the original teaches all paths already: the largest path teaches none",
            where="train.distill" if settings.distill else phases[0],
            fix="remove it; `with_largest: true` lets the largest path run in every step",
        )
    labelled = model.data.task.labelled
    if not labelled and "teacher_share" in given and settings.teacher_share != 1:
        raise ConfigError(
            "without labels all that can be learned are the original's answers",
            where="train.teacher_share",
            expected="1, or no such key",
            got=settings.teacher_share,
        )
    share = settings.teacher_share if labelled else 1.0
    if settings.label_smoothing and share == 1:
        raise ConfigError(
            "label_smoothing has no effect where no labels are learned",
            where="train.label_smoothing",
            fix="remove it" + (", or lower train.teacher_share" if labelled else ""),
        )
    return share
