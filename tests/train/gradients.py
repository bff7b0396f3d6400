"""Run by torchrun: averages known gradients and writes what came out, and what is refused."""

import sys
from pathlib import Path

import torch
from torch import nn

from tipsc.errors import DataError
from tipsc.train.distributed import group

with group() as ranks:
    parameters = [nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(3)),
                  nn.Parameter(torch.zeros(1))]  # fmt: skip
    parameters[0].grad = torch.full((2, 2), 1.0 + ranks.rank)
    if ranks.rank == 1:
        parameters[1].grad = torch.full((3,), 4.0)
    number = torch.tensor(10.0 * ranks.rank)
    examples = 1 + 2 * ranks.rank
    (mean,) = ranks.average(parameters, [number], examples)
    means = [mean.item(), ranks.mean(number.item(), examples)]
    text = repr([*means, *(None if p.grad is None else p.grad.tolist() for p in parameters)])
    Path(sys.argv[1], f"{ranks.rank}.txt").write_text(text)
    try:
        ranks.check_same(5 + ranks.rank, "batches", "give each as many")
    except DataError as error:
        Path(sys.argv[1], "refused.txt").write_text(str(error))
