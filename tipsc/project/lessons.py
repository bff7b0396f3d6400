"""What is trained, how long and from what; keys that would have no effect are refused.

First the whole space, then, once they are chosen, the paths that ship. A model that was trained
already ranks its paths well as it is, so that nothing but those is trained; from scratch cheap
steps in the whole space teach for half of the epochs the weights that all share, and how paths rank
(docs/learning.md). Both parts go through
one cycle of the learning rate: of two, the second would undo what the first has settled.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from tipsc.errors import ConfigError
from tipsc.project.config import Config
from tipsc.project.defaults import EPOCHS_TRAINED, NARROW_TRAINED, NARROW_UNTRAINED
from tipsc.project.loading import Model
from tipsc.train import TrainConfig
from tipsc.train.chance import seed_of

#: settings that say which paths of the whole space are drawn
_OF_THE_WHOLE_SPACE = ("sampler", "sampler_options", "phases")


@dataclass(frozen=True)
class Lessons:
    """How a model is trained.

    Attributes:
        wide: the whole space; None: it is not.
        narrow: the paths that ship, once they are chosen; None: they are not chosen before the end.
            Without both nothing is trained.
    """

    wide: TrainConfig | None
    narrow: TrainConfig | None

    @property
    def last(self) -> TrainConfig:
        """The part that the paths that ship see last.

        Raises:
            ConfigError: nothing is trained.
        """
        found = self.narrow or self.wide
        if found is None:
            raise ConfigError(
                "nothing is trained here",
                where="train.epochs",
                got=0,
                fix="give some epochs",
            )
        return found

    @property
    def epochs(self) -> int:
        """Of both together."""
        return sum(part.epochs for part in (self.wide, self.narrow) if part is not None)


def lessons_of(config: Config, model: Model) -> Lessons:
    """How the model of a configuration is trained.

    Raises:
        ConfigError: a key has no effect on this model and its data.
    """
    settings, given = config.training, config.train.model_fields_set
    share = teacher_of(settings, given, model)
    if share is not None:
        settings = replace(settings, teacher_share=share)
    narrow = config.train.narrow
    if narrow is None:
        narrow = NARROW_UNTRAINED if model.original is None else NARROW_TRAINED
    if narrow == 1 and "epochs" not in given:
        settings = replace(settings, epochs=EPOCHS_TRAINED)
    if _needs_long(model) and "frozen_epochs" not in given:
        settings = replace(settings, frozen_epochs=settings.epochs)
    if settings.epochs == 0:  # paths ship as they are: of a model that was trained by somebody
        if config.build.share_loss is not None:
            raise ConfigError(
                "what sharing costs is seen by training: there are no epochs",
                where="build.share_loss",
                fix="remove it, or give train.epochs",
            )
        return Lessons(None, None)
    last = round(narrow * settings.epochs)
    if narrow == 1 and not given & {"find_rate", "learning_rate"}:
        settings = replace(settings, find_rate=True)
    if settings.find_rate and narrow < 1:
        raise ConfigError(
            "the rate can be found only where nothing but the paths that ship is trained",
            where="train.find_rate",
            fix="remove it, and give train.learning_rate",
        )
    if 0 < narrow < 1:  # both parts are there, if there are epochs for both
        last = min(max(1, last), settings.epochs - 1)
    if last == 0:
        return Lessons(settings, None)
    # An order of the examples of its own: the wide part has had the first one's.
    narrowed = replace(
        settings,
        epochs=last,
        frozen_epochs=min(settings.frozen_epochs, last),
        seed=seed_of("narrow", settings.seed),
        phases=(),
        sampler=TrainConfig.sampler,
        sampler_options={},
    )
    if last < settings.epochs:
        first = settings.epochs - last
        turn = first / settings.epochs
        wide = replace(settings, epochs=first, frozen_epochs=0, cycle=(0.0, turn))
        return Lessons(wide, replace(narrowed, cycle=(turn, 1.0)))
    for name in _OF_THE_WHOLE_SPACE:
        if name in given:
            raise ConfigError(
                "only the paths that ship are trained: nothing is drawn from the whole space",
                where=f"train.{name}",
                fix="remove it, or give the whole space a part of the training: train.narrow: 0.5",
            )
    return Lessons(None, narrowed)


def _needs_long(model: Model) -> bool:
    """Whether a model that was trained already gets used to shared scales slowly.

    They change how large a path's outputs are. Which class has the highest score does not depend on
    that; where a box ends does.
    """
    scale_free = getattr(model.data.judged_by, "scale_free", False)
    return model.original is not None and not scale_free


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
    labelled = model.data.judged_by.labelled
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
