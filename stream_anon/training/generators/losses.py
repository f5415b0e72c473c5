"""The terms of the generator's and the critic's loss, each a plain function."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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


def toward(code: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine to the code that was asked for, averaged over (n,d)."""
    return (1 - F.cosine_similarity(code, wanted, dim=1)).mean()


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


def spread_out(codes: Tensor, sharpness: float = 2.0) -> Tensor:
    """Uniformity on the sphere (Wang & Isola 2020): log of the mean Gaussian potential."""
    square = torch.cdist(codes, codes).pow(2)
    off = ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    return (-sharpness * square[off]).exp().mean().log()
