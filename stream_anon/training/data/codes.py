"""Codes of a pack, and the public prior fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.training.data.batches import Faces
from stream_anon.training.runtime import autocast

DIRECTIONS = 48
"""Principal directions of the codes that a prior keeps.

What differs in the others is drawn as wrinkles and stains rather than as another face: the
truncation of generators' inputs (Brock et al. 2019), for codes that lie on a sphere.
"""


@torch.no_grad()
def code_table(net: nn.Module, faces: Faces, batch: int = 128, *, mirrored: bool = True) -> Tensor:
    """Unit codes (len(faces),d): each image's (and its mirror image's, averaged)."""
    found = []
    for start in range(0, len(faces), batch):
        index = torch.arange(start, min(start + batch, len(faces)), device=faces.device)
        rows = faces.rows(index)
        images = (rows.images * rows.valid).contiguous(memory_format=torch.channels_last)
        with autocast(faces.device):
            both = net(images).float()
            if mirrored:
                both = both + net(images.flip(3)).float()
        found.append(F.normalize(both, dim=1))
    return torch.cat(found)


@dataclass(frozen=True)
class Prior:
    """A Gaussian over codes, normalised to the sphere after each draw.

    Attributes:
        mean: (d,).
        root: (d,d), a square root of the covariance kept: x = mean + root @ g.
    """

    mean: Tensor
    root: Tensor

    @staticmethod
    def fit(codes: Tensor, directions: int = DIRECTIONS) -> Prior:
        """Mean and the widest ``directions`` of the covariance of codes (n,d)."""
        mean = codes.mean(0)
        centred = codes - mean
        covariance = centred.T @ centred / len(codes)
        values, vectors = torch.linalg.eigh(covariance.double())
        values[:-directions] = 0.0
        root = vectors @ torch.diag(values.clamp(min=0).sqrt())
        return Prior(mean, root.float())

    def draw(self, count: int, rng: Generator) -> Tensor:
        """Unit codes (count,d)."""
        noise = torch.randn(count, len(self.mean), generator=rng, device=self.mean.device)
        return F.normalize(self.mean + noise @ self.root.T, dim=1)
