"""The terms of the generator's and the critic's loss, each a plain function."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stream_anon.alignment.mesh_measures import mean_mesh
from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE


def critic_hinge(real: Tensor, drawn: Tensor) -> Tensor:
    """The critic's hinge loss (Lim & Ye 2017) on verdicts (n,k), averaged."""
    return F.relu(1 - real).mean() + F.relu(1 + drawn).mean()


def critic_logistic(real: Tensor, drawn: Tensor) -> Tensor:
    """The critic's logistic loss (Goodfellow et al. 2014) on verdicts (n,k), averaged."""
    return F.softplus(-real).mean() + F.softplus(drawn).mean()


def drawn_logistic(drawn: Tensor) -> Tensor:
    """The generator's side of it, in the form that does not saturate, on verdicts (n,k)."""
    return F.softplus(-drawn).mean()


def r1_penalty(verdict: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """R1 (Mescheder et al. 2018): squared gradient of the mean verdict on real images.

    Args:
        verdict: (n,k), a function of ``seen``.
        seen: What it was made from, each (n,c,h,w) and in need of a gradient.
    """
    slopes = torch.autograd.grad(verdict.mean(1).sum(), list(seen), create_graph=True)
    parts = [slope.float().pow(2).sum((1, 2, 3)) for slope in slopes]
    return torch.stack(parts).sum(0).mean()


def toward(code: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 - cosine to the code that was asked for, averaged over (n,d), weighted (n,)."""
    each = 1 - F.cosine_similarity(code, wanted, dim=1)
    return (each if weight is None else each * weight).mean()


def away(code: Tensor, original: Tensor, weight: Tensor, margin: float) -> Tensor:
    """Hinge on the cosine to the person that was there (n,d), where ``weight`` (n,) is 1."""
    over = F.relu(F.cosine_similarity(code, original, dim=1) - margin)
    return (over * weight).sum() / weight.sum().clamp(min=1)


def kinship(first: Tensor, second: Tensor, asked1: Tensor, asked2: Tensor) -> Tensor:
    """What two new faces in each image share that nobody asked for.

    What is left of a face's code (n,d) beside the code that was asked for (n,d) comes from the
    surroundings: camera, hair, clothes. Where it is alike in two drawings of one image, and
    less so in those of different images, it links two clips of one person.

    Returns:
        Mean of max(0, cosine) of the leftovers of the two, less the leftovers' mean.
    """

    def leftover(code: Tensor, asked: Tensor) -> Tensor:
        code, asked = F.normalize(code.float(), dim=1), F.normalize(asked.float(), dim=1)
        return code - (code * asked).sum(1, keepdim=True) * asked

    a, b = leftover(first, asked1), leftover(second, asked2)
    mean = torch.cat([a, b]).mean(0).detach()
    return F.relu(F.cosine_similarity(a - mean, b - mean, dim=1)).mean()


def matched(drawn: Sequence[Tensor], real: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean absolute difference of features, relative to their own size, where weight is 1."""
    total = weight.new_zeros(())
    if not len(weight):
        return total
    for a, b in zip(drawn, real, strict=True):
        a32, b32 = a.float(), b.detach().float()
        size = b32.abs().mean().clamp(min=1e-4)
        each = (a32 - b32).abs().mean((1, 2, 3)) / size
        total = total + (each * weight).sum() / weight.sum().clamp(min=1)
    return total / len(drawn)


def pixels(drawn: Tensor, real: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of pixels inside ``mask``, where weight (n,) is 1."""
    each = ((drawn - real).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp(min=1)
    return (each * weight).sum() / weight.sum().clamp(min=1)


def mesh(found: Tensor, asked: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """How far a mesh that was found in a new face is from the one that was asked for.

    Size and turn count, the place does not.

    Args:
        found: (n,468,3).
        asked: (n,468,3) in the same unit.
        weight: (n,).

    Returns:
        Smooth L1 of the points over the asked mesh's size, in hundredths of it; mean absolute
        difference of the openings of mouth, right and left eye, each over its width.
    """
    size = asked.flatten(1).std(1).clamp(min=1.0)[:, None, None]
    a, b = found - found.mean(1, keepdim=True), asked - asked.mean(1, keepdim=True)
    points = F.smooth_l1_loss(10 * a / size, 10 * b / size, beta=0.5, reduction="none")
    each = points.mean((1, 2))
    gaps = (openings(found) - openings(asked)).abs().mean(1)
    total = weight.sum().clamp(min=1)
    return (each * weight).sum() / total, (gaps * weight).sum() / total


def looking(meshes: Tensor) -> Tensor:
    """Where heads of meshes (n,468,3) look: unit axes (n,3) of their rotations from the mean mesh.

    The rotation of `alignment.mesh_measures.rigid`, differentiable.
    """
    model = torch.from_numpy(mean_mesh().copy()).to(meshes)
    b = meshes - meshes.mean(1, keepdim=True)
    u, _, v = torch.linalg.svd(b.transpose(1, 2) @ (model - model.mean(0)))
    sign = torch.ones_like(b[:, 0])
    sign[:, 2] = torch.linalg.det(u.detach() @ v.detach()).sign()
    rotation = (u * sign[:, None]) @ v
    axes: Tensor = rotation[:, :, 2]
    return axes


def astray(found: Tensor, asked: Tensor, weight: Tensor) -> Tensor:
    """How far heads look past where others do: mean distance of their axes, about radians.

    Args:
        found: Meshes (n,468,3).
        asked: Likewise.
        weight: (n,).
    """
    each = (looking(found) - looking(asked)).norm(dim=1)
    mean: Tensor = (each * weight).sum() / weight.sum().clamp(min=1)
    return mean


def openings(meshes: Tensor) -> Tensor:
    """Openings over widths of mouth, right and left eye of meshes (n,468,3): (n,3)."""
    found = []
    for (upper, lower), (first, last) in (
        (INNER_LIPS, MOUTH_CORNERS),
        (RIGHT_EYE, (RIGHT_EYE[0][0], RIGHT_EYE[0][-1])),
        (LEFT_EYE, (LEFT_EYE[0][0], LEFT_EYE[0][-1])),
    ):
        middle = slice(len(upper) // 2 - 1, len(upper) // 2 + 2)
        gap = meshes[:, list(upper[middle])] - meshes[:, list(lower[middle])]
        width = (meshes[:, first] - meshes[:, last]).norm(dim=1).clamp(min=1.0)
        found.append(gap.norm(dim=2).mean(1) / width)
    return torch.stack(found, 1)


def coarse(drawn: Tensor, real: Tensor, mask: Tensor, cell: int = 8) -> Tensor:
    """Mean absolute difference of the colours inside ``mask`` (n,1,h,w), averaged over cells.

    Finer than that a rim need not be what it was: strands of hair are somebody's.
    """
    sums = F.avg_pool2d((drawn - real) * mask, cell)
    return sums.abs().sum() / (3 * F.avg_pool2d(mask, cell).sum()).clamp(min=1e-6)


def spread_out(codes: Tensor, sharpness: float = 2.0) -> Tensor:
    """Uniformity on the sphere (Wang & Isola 2020): log of the mean Gaussian potential."""
    square = torch.cdist(codes, codes).pow(2)
    off = ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    return (-sharpness * square[off]).exp().mean().log()
