"""The least-squares start of the generator's linear first guess."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.training.arch.conceal import Conceal, hints, place
from stream_anon.training.arch.generator import FirstGuess
from stream_anon.training.data import augment
from stream_anon.training.data.batches import FRAMING, Batch, Faces


def _settled(rows: Batch) -> Tensor:
    """Images and valid pixels (n,4,128,128) as the first guess draws them (`place` undone)."""
    there = place(rows.landmarks)
    back = torch.linalg.inv(there[:, :, :2])
    shift = -(back @ there[:, :, 2:]) * (augment.SIZE / 2)
    both = torch.cat([rows.images, rows.valid], 1)
    return augment.warp(both, torch.cat([back, shift], 2), fill="zeros")


@torch.no_grad()
def fit_guess(
    guess: FirstGuess,
    faces: Faces,
    codes: Callable[[Batch], Tensor],
    conceal: Conceal,
    ridge: float = 1e-3,
) -> None:
    """Solve for the linear layer that draws each face from its own description.

    Pixels that tight chips do not reach are fitted on the images that fill
    the crop; all others on every image.

    Args:
        guess: Whose linear layer is set.
        faces: The training images.
        codes: The codes (n,d) that belong to a batch.
        conceal: The bottleneck that the generator will see.
        ridge: Added to the normal equations, relative to the number of images.
    """
    width = guess.linear.in_features + 1
    pixels = guess.linear.out_features
    device = faces.device
    square = torch.zeros(2, width, width, device=device)
    product = torch.zeros(2, width, pixels, device=device)
    covered = torch.zeros(FirstGuess.SIDE**2, device=device)
    rng = Generator(device=device).manual_seed(0)
    for start in range(0, len(faces), 256):
        index = torch.arange(start, min(start + 256, len(faces)), device=device)
        rows = faces.moved(faces.rows(index), rng, **(FRAMING | {"zoom": 0.05}))
        _, colours = conceal(rows.images * rows.valid, rows.valid)
        described = guess.describe(codes(rows), hints(colours, rows.landmarks))
        x = torch.cat([described, torch.ones_like(described[:, :1])], 1)
        settled = _settled(rows)
        small = F.avg_pool2d(settled[:, 3:], 4)
        y = (F.avg_pool2d(settled[:, :3], 4) / small.clamp(min=0.1)).flatten(1)
        covered += (small.flatten(1) > 0.9).sum(0)
        full = rows.valid.mean((1, 2, 3)) > 0.95
        for kind, chosen in ((0, full), (1, torch.ones_like(full))):
            square[kind] += x[chosen].T @ x[chosen]
            product[kind] += x[chosen].T @ y[chosen]
    covering = (covered / len(faces) > 0.97).repeat(3)
    counts = square[:, -1, -1].clamp(min=1.0)
    if counts[0] < width:
        covering[:] = True
    solved = []
    for kind in range(2):
        penalty = ridge * counts[kind] * torch.eye(width, device=device)
        penalty[-1, -1] = 0.0
        solved.append(torch.linalg.solve(square[kind] + penalty + 1e-6, product[kind]))
    weights = torch.where(covering[None, :], solved[1], solved[0])
    guess.linear.weight.copy_(weights[:-1].T)
    guess.linear.bias.copy_(weights[-1])


@torch.no_grad()
def fit_projection(projection: nn.Linear, faces: Faces) -> None:
    """Set a linear layer to the whitened principal components of faces of 32 px.

    Only pixels that nearly every image covers are looked at.

    Args:
        projection: (3*32*32) to d; its weight and bias are set.
        faces: The training images.
    """
    pixels, d = projection.in_features, projection.out_features
    device = faces.device
    total = torch.zeros(pixels, device=device)
    square = torch.zeros(pixels, pixels, device=device)
    covered = torch.zeros(pixels // 3, device=device)
    rng = Generator(device=device).manual_seed(0)
    for start in range(0, len(faces), 512):
        index = torch.arange(start, min(start + 512, len(faces)), device=device)
        rows = faces.moved(faces.rows(index), rng, **FRAMING)
        x = F.avg_pool2d(rows.images * rows.valid, 4).flatten(1)
        covered += (F.avg_pool2d(rows.valid, 4).flatten(1) > 0.9).sum(0)
        total += x.sum(0)
        square += x.T @ x
    mean = total / len(faces)
    seen = (covered / len(faces) > 0.9).repeat(3).nonzero()[:, 0]
    covariance = (square / len(faces) - torch.outer(mean, mean))[seen][:, seen]
    values, vectors = torch.linalg.eigh(covariance.double())
    values, vectors = values[-d:].clamp(min=1e-6), vectors[:, -d:]
    weight = torch.zeros_like(projection.weight)
    weight[:, seen] = ((vectors / values.sqrt()).T / d**0.5).float()
    projection.weight.copy_(weight)
    projection.bias.copy_(-(weight @ mean))
