"""Augmentation on the device: affine jitter with landmarks, light, degradation.

Every function takes an explicit ``torch.Generator``, so that a step is a
function of the run's seed and the step's number.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor

from stream_anon.alignment.mesh_measures import mean_mesh
from stream_anon.methods.generative.bottleneck import CENTRE, TEMPLATE

SIZE = 128
MIDDLE = (SIZE - 1) / 2
"""Of the crop; pixel centres lie at integer coordinates."""

FLIP_ORDER = [1, 0, 2, 4, 3]
"""Where each landmark goes when the image is mirrored."""


def uniform(shape: tuple[int, ...], low: float, high: float, rng: Generator) -> Tensor:
    """Uniform numbers in [low, high) on the generator's device."""
    return torch.rand(shape, generator=rng, device=rng.device) * (high - low) + low


def random_affine(
    count: int, rng: Generator, *, turn: float, zoom: float, shift: float, crop_scale: float = 1.0
) -> Tensor:
    """Random similarities about the mask's centre: (n,2,3), output pixel to input pixel.

    Coordinates are relative to the crop's middle.

    Args:
        count: How many.
        rng: Source of randomness.
        turn: Largest turn in radians.
        zoom: Largest zoom, as a logarithm.
        shift: Largest shift in pixels.
        crop_scale: How much wider the output is than the input, on average.
    """
    angle = uniform((count,), -turn, turn, rng)
    scale = crop_scale * uniform((count,), -zoom, zoom, rng).exp()
    move = uniform((count, 2), -shift, shift, rng)
    c, s = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    centre = torch.tensor(CENTRE, device=rng.device) - MIDDLE
    return torch.cat([linear, (move + centre - linear @ centre)[:, :, None]], 2)


def alignment(points: Tensor) -> Tensor:
    """The similarities that align landmarks (n,5,2) to the template: (n,2,3), as `random_affine`.

    Least squares (Umeyama 1991), from the template to the image: what `warp` needs to show a
    face as a recogniser wants it.
    """
    template = torch.from_numpy(TEMPLATE).to(points.device)
    t, p = template - template.mean(0), points - points.mean(1, keepdim=True)
    size = (t * t).sum()
    c = (p * t).sum((1, 2)) / size
    s = (p[:, :, 1] * t[:, 0] - p[:, :, 0] * t[:, 1]).sum(1) / size
    linear = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    shift = points.mean(1) - MIDDLE - linear @ (template.mean(0) - MIDDLE)
    return torch.cat([linear, shift[:, :, None]], 2)


def chain(first: Tensor, then: Tensor) -> Tensor:
    """The affine map (n,2,3) that applies ``first``, then ``then``."""
    shift = then[:, :, :2] @ first[:, :, 2:] + then[:, :, 2:]
    return torch.cat([then[:, :, :2] @ first[:, :, :2], shift], 2)


def warp(images: Tensor, matrix: Tensor, *, fill: str = "border") -> Tensor:
    """Warp (n,c,128,128) by matrices of `random_affine` (about the centre)."""
    theta = matrix.clone()
    theta[:, :, 2] = matrix[:, :, 2] / (SIZE / 2)
    grid = F.affine_grid(theta, [len(images), 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode=fill, align_corners=False
    )


def warp_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Move landmarks (n,k,2) as `warp` moves pixels."""
    centred = points - MIDDLE - matrix[:, None, :, 2]
    inverse = torch.linalg.inv(matrix[:, :, :2])
    return torch.einsum("nij,nkj->nki", inverse, centred) + MIDDLE


def warp_meshes(meshes: Tensor, matrix: Tensor) -> Tensor:
    """Move meshes (n,468,3) as `warp` moves pixels; depth is scaled. None found stays 0."""
    flat = warp_points(meshes[:, :, :2], matrix)
    scale = torch.linalg.det(matrix[:, :, :2]).abs().rsqrt()
    moved = torch.cat([flat, meshes[:, :, 2:] * scale[:, None, None]], 2)
    return torch.where(has_mesh(meshes)[:, None, None], moved, meshes)


def has_mesh(meshes: Tensor) -> Tensor:
    """Which of meshes (n,468,3) were found: bool (n,)."""
    return meshes.abs().amax((1, 2)) > 0


@lru_cache(maxsize=1)
def mirrored_vertices() -> tuple[int, ...]:
    """Which vertex each vertex of a mesh becomes in the mirrored image."""
    mean = mean_mesh()
    flipped = mean * np.array([-1.0, 1.0, 1.0])
    away = np.square(flipped[:, None] - mean[None]).sum(axis=2)
    # One to one: about the nostrils one vertex is the nearest of two.
    _, partner = linear_sum_assignment(away)
    return tuple(int(k) for k in partner)


def mirror_meshes(meshes: Tensor) -> Tensor:
    """Meshes (n,468,3) of the mirrored images, in the same order. None found stays 0."""
    flipped = meshes[:, list(mirrored_vertices())].clone()
    flipped[..., 0] = SIZE - 1 - flipped[..., 0]
    return torch.where(has_mesh(meshes)[:, None, None], flipped, meshes)


def mirror_points(points: Tensor) -> Tensor:
    """Landmarks (n,5,2) of the mirrored images, in the same order."""
    flipped = points[:, FLIP_ORDER].clone()
    flipped[..., 0] = SIZE - 1 - flipped[..., 0]
    return flipped


def mirror(
    images: Tensor, valid: Tensor, points: Tensor, which: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror those of the batch where ``which`` (n,) is true."""
    w = which.view(-1, 1, 1, 1)
    flipped = mirror_points(points)
    return (
        torch.where(w, images.flip(3), images),
        torch.where(w, valid.flip(3), valid),
        torch.where(which.view(-1, 1, 1), flipped, points),
    )


def relight(images: Tensor, rng: Generator, amount: float = 1.0) -> Tensor:
    """Random brightness, contrast and colour of (n,3,h,w) in [-1, 1]."""
    n = len(images)
    gain = uniform((n, 1, 1, 1), -0.25 * amount, 0.25 * amount, rng).exp()
    tint = uniform((n, 3, 1, 1), -0.06 * amount, 0.06 * amount, rng)
    offset = uniform((n, 1, 1, 1), -0.12 * amount, 0.12 * amount, rng)
    return (images * gain + tint + offset).clamp(-1, 1)


def blurred(images: Tensor, side: int) -> Tensor:
    """(n,c,h,w) at a resolution of ``side`` pixels, enlarged to what it was."""
    small = F.interpolate(images, size=(side, side), mode="area")
    return F.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)


def degrade(
    images: Tensor, rng: Generator, share: float = 0.3, sides: tuple[int, int] = (32, 100)
) -> Tensor:
    """Lower resolution and noise, as far-away and compressed faces have.

    One factor for the batch, so that the side becomes one of ``sides``, applied to a random
    ``share`` of it.
    """
    n = len(images)
    side = int(uniform((1,), *sides, rng).item())
    soft = blurred(images, side)
    noise = torch.randn(images.shape, generator=rng, device=images.device)
    soft = soft + noise * uniform((n, 1, 1, 1), 0, 0.05, rng)
    which = uniform((n, 1, 1, 1), 0, 1, rng) < share
    return torch.where(which, soft, images).clamp(-1, 1)


def scenery(images: Tensor, rng: Generator, share: float = 0.6) -> Tensor:
    """What cameras do to (n,3,h,w) in [-1, 1]: haze, dim light, poor colour, poor sharpness.

    Data sets of portraits are bright, colourful and sharp; most videos are not. A generator
    that never saw them draws a studio portrait into the haze.
    """
    n = len(images)
    contrast = uniform((n, 1, 1, 1), -1.0, 0.15, rng).exp()
    colour = uniform((n, 1, 1, 1), 0.25, 1.1, rng)
    cast = uniform((n, 3, 1, 1), -0.08, 0.08, rng)
    level = uniform((n, 1, 1, 1), -1.0, 1.0, rng) * (1.0 - contrast).clamp(min=0.05) * 0.6
    grey = images.mean(1, keepdim=True)
    seen = ((grey + (images - grey) * colour) * contrast + level + cast).clamp(-1, 1)
    out = torch.where(uniform((n, 1, 1, 1), 0, 1, rng) < share, seen, images)
    side = int(uniform((1,), 36, 110, rng).item())
    soft = blurred(out, side)
    return torch.where(uniform((n, 1, 1, 1), 0, 1, rng) < 0.6 * share, soft, out)


def surroundings(
    images: Tensor, outside: Tensor, rng: Generator, share: float = 0.25
) -> Tensor:
    """Strongly coloured walls behind some of the heads in (n,3,h,w) in [-1, 1].

    Colours are multiplied, as light and paint do: what is dark stays so. Without them a generator
    takes a coloured wall for coloured light, and stains the hair with its opposite.

    Args:
        images: In [-1, 1].
        outside: (1,1,h,w) in [0, 1], 1 where a wall may be.
        rng: Source of randomness.
        share: Of the batch.
    """
    n = len(images)
    paint = uniform((n, 3, 1, 1), 0.25, 1.0, rng)
    paint = paint / paint.amax(1, keepdim=True)
    which = (uniform((n, 1, 1, 1), 0, 1, rng) < share).to(images.dtype)
    gain = 1 - which * outside * (1 - paint)
    return (images + 1) * gain - 1
