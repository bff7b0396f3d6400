"""What a training changes with each step, and how that goes into a checkpoint and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tipsc.elastic import Supernet
from tipsc.train import checkpoint as checkpoints
from tipsc.train.average import Average
from tipsc.train.checkpoint import Checkpoint
from tipsc.train.config import TrainConfig
from tipsc.train.distributed import Processes
from tipsc.train.history import History
from tipsc.train.optimizer import optimizer_of
from tipsc.train.phases import PhasePlan
from tipsc.train.precision import Precision

HISTORY_FILE = "history.jsonl"


class Learner:
    """A supernet and all that goes with its weights while they are trained.

    Args:
        supernet: on the device that it is trained on.
        plan: whose samplers may learn too.
        identity: of what is trained and how; see :class:`Checkpoint`.
        folder: for checkpoint and history; made if it is missing.
    """

    def __init__(
        self,
        supernet: Supernet,
        config: TrainConfig,
        plan: PhasePlan,
        identity: Mapping[str, Mapping[str, str]],
        folder: Path,
    ) -> None:
        self.supernet, self.plan = supernet, plan
        self.device = next(supernet.parameters()).device
        self.parameters = [p for p in supernet.parameters() if p.requires_grad]
        self.optimizer = optimizer_of(self.parameters, config)
        self.precision = Precision(config.precision, self.device)
        self.average: Average | None = None
        if config.average is not None:
            self.average = Average(self.parameters, config.average)
        self.history = History()
        self._identity, self._folder = identity, folder

    def resume(self, ranks: Processes) -> None:
        """All ranks start from the checkpoint of rank 0, or from its initial weights.

        Raises:
            TrainingError: the checkpoint is damaged, or of another training.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        data = ranks.from_first(checkpoints.read(self._folder) if ranks.rank == 0 else None)
        if data is None:
            ranks.copy_from_first(self.supernet.state_dict().values())
            self.forget_average()
            return
        where = str(self._folder / checkpoints.FILE)
        found = Checkpoint.from_bytes(data, where)
        found.check(self._identity, where)
        self.supernet.load_state_dict(dict(found.model))
        self.optimizer.load_state_dict(dict(found.optimizer))
        self.history = History.from_tensor(found.history)
        self.plan.load_state(found.samplers, where)
        self.precision.load_state(found.scaler)
        if self.average is not None:
            self.average.load_state(found.average)

    def save(self) -> None:
        """Into the folder, as it is after the last step of the history."""
        state = Checkpoint(
            self._identity,
            len(self.history),
            self.supernet.state_dict(),
            self.optimizer.state_dict(),
            self.history.to_tensor(),
            self.plan.state(),
            self.precision.state(),
            {} if self.average is None else self.average.state(),
        )
        checkpoints.write_whole(self._folder / checkpoints.FILE, state.to_bytes())
        checkpoints.write_whole(self._folder / HISTORY_FILE, self.history.to_lines().encode())

    def move(self, rate: float, clip_norm: float | None) -> None:
        """Along the gradients."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.precision.step(self.optimizer, self.parameters, clip_norm)
        if self.average is not None:
            self.average.add()

    def forget_gradients(self) -> None:
        """A parameter that no path of a step uses then has none."""
        self.optimizer.zero_grad(set_to_none=True)

    def forget_average(self) -> None:
        """The weights so far are of another kind than those that come."""
        if self.average is not None:
            self.average.restart()

    def put_average(self) -> None:
        """The weights are their average from now on, if one is kept."""
        if self.average is not None:
            self.average.put()
