"""The landmark net: a small grey crop about a face to five landmarks and how sure they are.

A detector states landmarks in images it has shrunk, and now and then only. This net sees the
face itself, costs about 20 million multiplications and so can look at every image of a track.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_anon.training.arch.encoder import ResidualBlock, conv_bn

SIDE = 64
"""Side in pixels of the crop."""

UNIT = 16.0
"""Aligned units in which offsets from the template are stated."""

WIDTHS = (16, 32, 64, 96)
SLOPE = 0.1


class LandmarkNet(nn.Module):
    """Luma of an aligned face space at half its resolution to landmarks."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        width = 1
        for outputs in widths:
            stages += [
                conv_bn(width, outputs, 2),
                nn.LeakyReLU(SLOPE),
                ResidualBlock(outputs, SLOPE),
            ]
            width = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(width * (SIDE // 2 ** len(widths)) ** 2, 11)

    def forward(self, luma: Tensor) -> Tensor:
        """Find landmarks.

        Args:
            luma: (n,1,64,64), any linear scale: brightness and contrast are taken out.

        Returns:
            (n,11): five offsets (x, y) from the template in units of 16 aligned pixels, and
            the natural logarithm of the error that is expected of them, in the same unit.
        """
        out: Tensor = self.head(self.stages(F.instance_norm(luma)).flatten(1))
        return out


def shrink(images: Tensor) -> Tensor:
    """Face crops (n,3,128,128) RGB to what the net is shown: (n,1,64,64)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype)
    luma = (images * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    return F.avg_pool2d(luma, 2)
