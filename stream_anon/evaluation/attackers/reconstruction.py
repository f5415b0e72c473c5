"""A learned reconstructor: a small U-Net that was shown pairs of other people (needs torch).

It asks whether what is left of a face can be turned back into somebody; Fantomas (Todt et al.,
PoPETs 2024) did so for 11 of 15 anonymisations. Its images are then shown to the attackers.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stream_anon.evaluation.attackers.parrot import planes
from stream_anon.evaluation.attackers.training_set import Lessons, shrunk
from stream_anon.evaluation.data.stills import scaled
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]


class UNet(nn.Module):
    """64 px in, 64 px out, skips at every size from 32 px down; about 1 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 96, 144)
        self.first = _block(12, widths[0])
        self.down = nn.ModuleList(
            _block(a, b) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _block(a + b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.last = nn.Conv2d(widths[0], 12, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 64, 64) to the same; the change to the input is what is learned."""
        levels = [self.first(functional.pixel_unshuffle(x, 2))]
        for block in self.down:
            levels.append(block(functional.avg_pool2d(levels[-1], 2)))
        y = levels.pop()
        for block in self.up:
            bigger = functional.interpolate(y, scale_factor=2.0, mode="nearest")
            y = block(torch.cat([bigger, levels.pop()], 1))
        out: Tensor = x + functional.pixel_shuffle(self.last(y), 2)
        return out


def teach(lessons: Lessons, rounds: int = 8, seed: int = 0) -> UNet:
    """Learn anonymised to clear: absolute error of pixels and of their differences.

    Args:
        lessons: pairs of other people.
        rounds: passes over them.
        seed: of the learning.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = UNet()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    net.train()
    for _ in range(rounds):
        count = len(lessons.people)
        for rows in np.array_split(rng.permutation(count), max(1, count // 32)):
            given, wanted = planes(lessons.new[rows]), planes(lessons.clear[rows])
            if rng.random() < 0.5:
                given, wanted = given.flip(3), wanted.flip(3)
            made = net(given)
            loss = functional.l1_loss(made, wanted)
            for axis in (2, 3):
                loss = loss + functional.l1_loss(made.diff(dim=axis), wanted.diff(dim=axis))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
    net.eval()
    return net


def rebuild(net: UNet, images: Pixels) -> Pixels:
    """Reconstruct (n, 128, 128, 3) uint8 aligned face images at half the resolution."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), 64):
            made = net(planes(shrunk(images[start : start + 64])))
            values = ((made + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
            parts.append(values.permute(0, 2, 3, 1).numpy())
    return np.stack([scaled(p, ALIGNED_SIDE) for p in np.concatenate(parts)])


def _block(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, made, 3, 1, 1, bias=False),
        nn.BatchNorm2d(made),
        nn.ReLU(),
        nn.Conv2d(made, made, 3, 1, 1, bias=False),
        nn.BatchNorm2d(made),
        nn.ReLU(),
    )
