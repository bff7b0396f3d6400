"""A model behind what turns a camera's pixels into its input, so that the engine takes pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tipsc.errors import ConversionError


class Camera(nn.Module):
    """Takes uint8 pixels, (N, C, H, W) or (N, H, W, C), and gives what the model gives for them.

    Args:
        model: takes float32 images (N, C, H, W) of ``(pixels / 255 - mean) / std``.
        mean, std: of each channel, or one for all.
        channels_last: whether the pixels' channels are.

    Raises:
        ConversionError: a deviation is not positive, or there are other numbers of them.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        *,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if min(std) <= 0 or not (len(mean) == len(std) or 1 in (len(mean), len(std))):
            raise ConversionError(
                "pixels cannot be normalised by these",
                where="convert.input",
                expected="a mean and a deviation for each channel, deviations above 0",
                got=f"mean {list(mean)}, std {list(std)}",
            )
        self.model, self.channels_last = model, channels_last
        spread = torch.tensor(list(std), dtype=torch.float64)
        shift = -torch.tensor(list(mean), dtype=torch.float64) / spread
        self.register_buffer("scale", (1 / (255 * spread)).float()[:, None, None])
        self.register_buffer("shift", shift.float()[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.float()  # first: TensorRT does nothing else with uint8
        x = x.permute(0, 3, 1, 2) if self.channels_last else x
        answer: Tensor = self.model(x * self.scale + self.shift)
        return answer
