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

from tipsc.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """The processes of this training.

    Attributes:
        rank: this process's number; 0 writes files.
        ranks: how many there are.
    """

    rank: int = 0
    ranks: int = 1

    def average(self, parameters: Sequence[nn.Parameter], number: Tensor) -> Tensor:
        """Averages the gradients over all ranks, in place, and a scalar."""
        if self.ranks == 1:
            return number
        # Counted on the hosts: nobody waits for a GPU.
        used = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
        dist.all_reduce(used)
        flat = torch.cat(
            [
                *(
                    (torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1)
                    for p in parameters
                ),
                number.reshape(1),
            ]
        )
        dist.all_reduce(flat)
        flat /= self.ranks
        pieces = flat[:-1].split([p.numel() for p in parameters])
        for parameter, piece, count in zip(parameters, pieces, used.tolist(), strict=True):
            parameter.grad = piece.view_as(parameter) if count else None
        return flat[-1]

    def from_first(self, data: bytes | None) -> bytes | None:
        """What rank 0 has, on all ranks: bytes of any length, or None."""
        if self.ranks == 1:
            return data
        length = torch.tensor([-1 if data is None else len(data)])
        dist.broadcast(length, 0)
        if int(length) < 0:
            return None
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0 and data is not None:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(content, 0)
        return content.cpu().numpy().tobytes()

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Gives all ranks the values that rank 0 has, in place."""
        if self.ranks > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


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
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield Processes(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
    else:
        yield Processes()
