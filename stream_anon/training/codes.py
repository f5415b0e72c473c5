"""Codes of a pack, and the public prior fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stream_anon.training.data import Faces
from stream_anon.training.runtime import autocast


@torch.no_grad()
def code_table(net: nn.Module, faces: Faces, batch: int = 128, *, mirrored: bool = True) -> Tensor:
    """Unit codes (len(faces),d): each picture's (and its mirror image's, averaged)."""
    found = []
    for start in range(0, len(faces), batch):
        index = torch.arange(start, min(start + batch, len(faces)), device=faces.device)
        rows = faces.rows(index)
        pictures = (rows.pictures * rows.valid).contiguous(memory_format=torch.channels_last)
        with autocast(faces.device):
            both = net(pictures).float()
            if mirrored:
                both = both + net(pictures.flip(3)).float()
        found.append(F.normalize(both, dim=1))
    return torch.cat(found)


@dataclass(frozen=True)
class Prior:
    """A Gaussian over codes, normalised to the sphere after each draw.

    Attributes:
        mean: (d,).
        root: (d,d), a square root of the covariance: x = mean + root @ g.
    """

    mean: Tensor
    root: Tensor

    @staticmethod
    def fit(codes: Tensor, shrink: float = 0.02) -> Prior:
        """Mean and covariance of codes (n,d), the covariance shrunk towards a sphere."""
        mean = codes.mean(0)
        centred = codes - mean
        covariance = centred.T @ centred / len(codes)
        d = codes.shape[1]
        eye = torch.eye(d, device=codes.device)
        covariance = (1 - shrink) * covariance + shrink * covariance.trace() / d * eye
        values, vectors = torch.linalg.eigh(covariance.double())
        root = vectors @ torch.diag(values.clamp(min=0).sqrt())
        return Prior(mean, root.float())

    def draw(self, count: int, rng: Generator) -> Tensor:
        """Unit codes (count,d)."""
        noise = torch.randn(count, len(self.mean), generator=rng, device=self.mean.device)
        return F.normalize(self.mean + noise @ self.root.T, dim=1)
