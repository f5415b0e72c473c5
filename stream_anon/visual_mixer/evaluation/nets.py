"""The small networks that are trained on clear and on mixed images, the same for both.

One body reads an image in two ways: strided convolutions see how things lie, and sorted
blocks of 8 px tell which brightness there is, wherever it lies. The first serves clear images,
the second is what a shuffle inside such a block leaves unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stream_anon.visual_mixer.optim import STAdam

Pixels = NDArray[np.uint8]
Task = Literal["labels", "codes", "images"]
BLOCK = 8
WIDTH = 48


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def block_figures(images: Pixels) -> NDArray[np.float32]:
    """What a shuffle inside blocks of 8 px leaves.

    Per block: the mean colour; the pixels' brightness in order, as eight means of eight; the
    pixels' spread between their channels in order, as four means of sixteen.

    Args:
        images: (n, s, s, 3) uint8 RGB, s a multiple of 8.

    Returns:
        (n, 15, s / 8, s / 8) float32, about -2 to 2.
    """
    n, height, width = images.shape[:3]
    rows, columns = height // BLOCK, width // BLOCK
    result = np.empty((n, 15, rows, columns), np.float32)
    for i, image in enumerate(images):
        values = image.astype(np.int16)
        bright = values.sum(axis=2, dtype=np.int16)
        spread = (image.max(axis=2) - image.min(axis=2)).astype(np.int16)
        parts = [values[..., 0], values[..., 1], values[..., 2], bright, spread]
        blocks = np.stack(parts).reshape(5, rows, BLOCK, columns, BLOCK).transpose(0, 1, 3, 2, 4)
        flat = blocks.reshape(5, rows, columns, BLOCK * BLOCK)
        order = np.sort(flat[3:], axis=3)
        result[i, :3] = flat[:3].mean(axis=3)
        result[i, 3:11] = order[0].reshape(rows, columns, 8, 8).mean(axis=3).transpose(2, 0, 1) / 3
        result[i, 11:] = order[1].reshape(rows, columns, 4, 16).mean(axis=3).transpose(2, 0, 1)
    result -= 128.0
    result /= 64.0
    return result


class Body(nn.Module):  # type: ignore[misc, unused-ignore]
    """(n, 3, s, s) uint8 and their ``block_figures`` to (n, 48, s/8, s/8) features."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Sequential(_conv(3, 16, 2), _conv(16, 24, 2), _conv(24, 32, 2))
        self.blocks = nn.Sequential(nn.Conv2d(15, 32, 1), nn.ReLU(True))
        self.join = _conv(64, WIDTH)
        self.first, self.second = _conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH)

    def forward(self, images: Any, figures: Any) -> Any:
        """See the class."""
        x = (images.float() - 128.0) / 64.0
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.join(torch.cat([self.shape(x), self.blocks(figures)], 1))
        return x + self.second(self.first(x))


class Reader(nn.Module):  # type: ignore[misc, unused-ignore]
    """An image to ``outputs`` numbers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body, self.wide = Body(), _conv(WIDTH, 96, 2)
        self.last = nn.Linear(96, outputs)

    def forward(self, images: Any, figures: Any) -> Any:
        """See the class."""
        return self.last(self.wide(self.body(images, figures)).float().mean((2, 3)))


class Restorer(nn.Module):  # type: ignore[misc, unused-ignore]
    """A mixed image to its guess of the clear one, 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.middle = nn.Sequential(_conv(WIDTH, 64), _conv(64, 96))
        self.last = nn.Conv2d(96, 3 * BLOCK * BLOCK, 3, 1, 1)

    def forward(self, images: Any, figures: Any) -> Any:
        """See the class."""
        blocks = self.last(self.middle(self.body(images, figures))).float()
        return torch.sigmoid(nn.functional.pixel_shuffle(blocks, BLOCK))


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: passes over the data.
        batch: images a step.
        rate: highest step size of a one-cycle schedule.
        optimiser: ``st-adam`` or ``adam``.
        seed: of the weights and the order; a measurement may be repeated.
        flip: mirror every other batch.
    """

    epochs: int = 6
    batch: int = 64
    rate: float = 3e-3
    optimiser: Literal["st-adam", "adam"] = "st-adam"
    seed: int = 0
    flip: bool = True


Loss = Callable[[Any, Any], Any]


def classes(split: tuple[int, ...]) -> Loss:
    """Sum of the cross-entropies of several tasks; labels are (n, tasks)."""

    def loss(output: Any, labels: Any) -> Any:
        parts = torch.split(output, list(split), dim=1)
        return sum(nn.functional.cross_entropy(p, labels[:, i]) for i, p in enumerate(parts))

    return loss


def direction(output: Any, codes: Any) -> Any:
    """One minus the cosine to a code."""
    return (1.0 - nn.functional.cosine_similarity(output, codes)).mean()


def nearness(output: Any, images: Any) -> Any:
    """Mean absolute difference to a clear image, (n, 3, s, s) uint8."""
    return (output - images.float() / 255.0).abs().mean()


def as_tensor(images: Pixels) -> Any:
    """(n, s, s, 3) to (n, 3, s, s) uint8."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def train(
    network: Callable[[], nn.Module],
    images: Pixels,
    targets: NDArray[Any],
    loss: Loss,
    how: Training,
    tell: Callable[[str], None] = lambda _: None,
) -> nn.Module:
    """Train a fresh network.

    Args:
        network: makes it.
        images: (n, s, s, 3) uint8 RGB.
        targets: (n, ...) labels, codes or (n, s, s, 3) images, as ``loss`` wants them.
        loss: of a batch.
        how: the recipe.
        tell: is told of each epoch.
    """
    torch.manual_seed(how.seed)
    net: Any = network()
    net.to(memory_format=torch.channels_last)
    inputs, figures = as_tensor(images), torch.from_numpy(block_figures(images))
    image_targets = targets.ndim == 4
    wanted = as_tensor(targets) if image_targets else torch.from_numpy(targets)
    maker = STAdam if how.optimiser == "st-adam" else torch.optim.Adam
    optimiser = maker(net.parameters(), lr=how.rate)
    steps = len(inputs) // how.batch
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, total_steps=how.epochs * steps)
    net.train()
    for epoch in range(how.epochs):
        started, total = time.process_time(), 0.0
        order = torch.randperm(len(inputs))
        for step in range(steps):
            rows = order[step * how.batch : (step + 1) * how.batch]
            x, f, y = inputs[rows], figures[rows], wanted[rows]
            if how.flip and step % 2:
                x, f = x.flip(3), f.flip(3)
                y = y.flip(3) if image_targets else y
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = net(x, f)
            value = loss(output.float(), y)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            plan.step()
            total += float(value.detach())
        seconds = time.process_time() - started
        tell(f"epoch {epoch + 1}/{how.epochs} loss {total / steps:.4f} ({seconds:.0f} CPU s)")
    net.eval()
    trained: nn.Module = net
    return trained


def answers(net: nn.Module, images: Pixels, batch: int = 100) -> NDArray[np.float32]:
    """The trained network's outputs."""
    parts = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, len(images), batch):
            some = images[start : start + batch]
            parts.append(net(as_tensor(some), torch.from_numpy(block_figures(some))).float())
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result
