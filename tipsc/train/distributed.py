"""Several processes that train the same weights: the little of torch.distributed that we need.

Gradients are averaged by one all-reduce of one flat vector a step. DistributedDataParallel would
hook each backward pass, but a step has several, of different paths on each rank, so that it would
have to search for unused parameters each time; here a parameter that a rank did not use counts as
zero, and one that no rank used keeps no gradient, as in a single process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist

from tipsc.errors import DataError, TrainingError, UsageError


@dataclass(frozen=True)
class Processes:
    """The processes of this training.

    Attributes:
        rank: this process's number; 0 writes files.
        ranks: how many there are.
    """

    rank: int = 0
    ranks: int = 1

    def average(
        self, parameters: Sequence[nn.Parameter], numbers: Sequence[Tensor], examples: int
    ) -> list[Tensor]:
        """Averages the gradients over the examples of all ranks, in place, and some scalars.

        Args:
            numbers: means over this rank's examples; the same ones on all ranks.
            examples: of this rank.

        Raises:
            TrainingError: another process is gone.
        """
        if self.ranks == 1:
            return list(numbers)
        # Counted on the hosts: nobody waits for a GPU.
        used = [float(parameter.grad is not None) for parameter in parameters]
        *used, total = self._sum(torch.tensor([*used, float(examples)])).tolist()
        gradients = (torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
        flat = torch.cat([*(each.reshape(-1) for each in gradients), torch.stack(list(numbers))])
        flat = self._sum(flat * (examples / total))
        sizes = [parameter.numel() for parameter in parameters]
        *pieces, means = flat.split([*sizes, len(numbers)])
        for parameter, piece, count in zip(parameters, pieces, used, strict=True):
            parameter.grad = piece.view_as(parameter) if count else None
        return list(means)

    def mean(self, number: float, examples: int) -> float:
        """Over the examples of all ranks, of a mean over this rank's."""
        if self.ranks == 1:
            return number
        total, count = self._sum(torch.tensor([number * examples, examples]).double()).tolist()
        return total / count

    def from_first(self, data: bytes | None) -> bytes | None:
        """What rank 0 has, on all ranks: bytes of any length, or None."""
        if self.ranks == 1:
            return data
        length = torch.tensor([-1 if data is None else len(data)])
        self.copy_from_first([length])
        if int(length) < 0:
            return None
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0 and data is not None:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self.copy_from_first([content])
        return content.cpu().numpy().tobytes()

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Gives all ranks the values that rank 0 has, in place."""
        if self.ranks > 1:
            with _all_there():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def check_same(self, number: int, what: str, fix: str) -> None:
        """Refuses a number in which the processes differ: they would wait for each other.

        Args:
            what: that the number counts.

        Raises:
            DataError: says which rank has how many.
        """
        if self.ranks == 1:
            return
        found = self._sum(torch.eye(self.ranks, dtype=torch.int64)[self.rank] * number).tolist()
        if len(set(found)) > 1:
            raise DataError(
                f"the processes of this training differ in {what}",
                expected=f"{found[0]} in each, as in process 0",
                got=", ".join(f"{count} in process {rank}" for rank, count in enumerate(found)),
                fix=fix,
            )

    def _sum(self, tensor: Tensor) -> Tensor:
        """Over all ranks, in place."""
        with _all_there():
            dist.all_reduce(tensor)
        return tensor


@contextmanager
def _all_there() -> Iterator[None]:
    """Inside, processes wait for each other.

    Raises:
        TrainingError: one of them is gone.
    """
    try:
        yield
    except RuntimeError as error:  # of gloo; DistError is one too
        raise TrainingError(
            "another process of this training has ended or does not answer",
            got=str(error).strip().partition("\n")[0],
            fix="see what it said; started again, with any number of processes, training goes on "
            "from the last checkpoint",
        ) from error


def started(name: str, alone: int) -> int:
    """A number that torchrun gives its processes in their environment, or `alone` without it.

    Raises:
        UsageError: it is none.
    """
    text = os.environ.get(name, str(alone))
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            "this is no number that torchrun gives",
            where=f"environment variable {name}",
            got=text,
            fix="unset it, or start the training by torchrun",
        )
    return int(text)


@contextmanager
def group() -> Iterator[Processes]:
    """The group that torchrun started, or the caller, or else this process alone."""
    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
    elif started("WORLD_SIZE", 1) > 1:
        with _all_there():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield Processes(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
    else:
        yield Processes()
