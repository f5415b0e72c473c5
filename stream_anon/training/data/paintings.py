"""What a generator is given to start from: faces painted by the morphable model.

As the product paints them (`methods.morph`): the video's mesh, through as few numbers as there,
shows a code's texture and shape. Where a training image's own person is asked for, the painting is
the model's nearest to the image instead, so that there is an answer to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import LEVELS, Morphable
from stream_anon.alignment.uv import unroll
from stream_anon.methods.morph import Morph
from stream_anon.methods.morph_warp import painted
from stream_anon.training.data.augment import SIZE, has_mesh, uniform, warp, warp_meshes
from stream_anon.training.data.batches import Batch

Floats = NDArray[np.float32]

ALL = 0.67
"""Share of the faces with a mesh that are painted; the rest are drawn as if none had been found,
so that the generator keeps what it can do without."""

TONE = 0.08
"""Standard deviation in log levels by which the light of a painting is off, at run time read off
a drawing."""

OVER = 0.7
"""Share of the paintings of other people that are painted over the generator's drawing again. The
rest, and those of the image's own person, show what it makes of them."""

DETAIL = 1.4
"""Bound in log levels of what an image's own texture may be."""


@dataclass(frozen=True)
class Paintings:
    """Painted faces of a batch.

    Attributes:
        drawing: (n,4,128,128) RGB in [-1, 1] and the share of it, 0 to 1; 0 where none is.
        meshes: (n,468,3) the meshes that were painted, aligned units.
        there: (n,) 1 where a face was painted.
        over: (n,) 1 where it is painted over what the generator makes of it, as the product does.
    """

    drawing: Tensor
    meshes: Tensor
    there: Tensor
    over: Tensor

    def first(self, count: int) -> Paintings:
        """Those of the first ``count`` faces."""
        return Paintings(
            self.drawing[:count], self.meshes[:count], self.there[:count], self.over[:count]
        )

    def moved(self, matrix: Tensor) -> Paintings:
        """As `augment.warp` moves images by matrices (n,2,3)."""
        drawing = warp(self.drawing, matrix, fill="zeros")
        return replace(self, drawing=drawing, meshes=warp_meshes(self.meshes, matrix))

    def put(self, faces: Tensor) -> Tensor:
        """Faces (n,3,128,128) with the paintings over those where they are to be."""
        share = self.drawing[:, 3:] * self.over.view(-1, 1, 1, 1)
        return faces + share * (self.drawing[:, :3] - faces)


class PaintingMaker:
    """Paints batches, on the processor.

    Args:
        model: None takes the one that ships.
    """

    def __init__(self, model: Morphable | None = None) -> None:
        self._morph = Morph(model)

    def __call__(self, batch: Batch, codes: Tensor, own: Tensor, rng: Generator) -> Paintings:
        """Paint.

        Args:
            batch: the faces, with meshes.
            codes: (n,128) who is asked for.
            own: (n,) 1 where it is the image's own person.
            rng: source of randomness.
        """
        if batch.meshes is None:
            raise ValueError("a batch to be painted must have meshes")
        device = batch.images.device
        count = len(codes)
        wanted = has_mesh(batch.meshes) & (uniform((count,), 0.0, 1.0, rng) < ALL)
        off = (TONE * torch.randn((count, 3), generator=rng, device=device)).cpu().numpy()
        # Mostly brightness, a little colour.
        off = off.mean(axis=1, keepdims=True) * 1.5 + 0.25 * off
        pixels = (batch.images.permute(0, 2, 3, 1) + 1.0) * 127.5
        images = pixels.round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        known = (batch.valid[:, 0] > 0).cpu().numpy()
        meshes = batch.meshes.cpu().numpy()
        asked, mine = codes.cpu().numpy(), own.cpu().numpy() > 0
        drawing = np.zeros((count, SIZE, SIZE, 4), np.float32)
        there = np.zeros(count, np.float32)
        for i in np.flatnonzero(wanted.cpu().numpy()):
            drawn = self._paint(images[i], known[i], meshes[i], asked[i], bool(mine[i]), off[i])
            if drawn is not None:
                drawing[i], meshes[i], there[i] = drawn[0], drawn[1], 1.0
        over = (uniform((count,), 0.0, 1.0, rng) < OVER).float() * (1 - own)
        packed = torch.from_numpy(drawing).permute(0, 3, 1, 2)
        return Paintings(
            packed.contiguous(memory_format=torch.channels_last).to(device),
            torch.from_numpy(meshes).to(device),
            torch.from_numpy(there).to(device),
            over * torch.from_numpy(there).to(device),
        )

    def _paint(
        self, image: NDArray[np.uint8], valid: NDArray[np.bool_], mesh: Floats, code: Floats,
        own: bool, off: Floats,
    ) -> tuple[Floats, Floats] | None:  # fmt: skip
        morph = self._morph
        x, y = np.rint(mesh[:, :2].T).astype(int).clip(0, SIZE - 1)
        if not valid[y, x].mean() > 0.97:
            return None
        detail, offset, iris = morph.person(code)
        placed, amount, openings = morph.moved(mesh, offset)
        if not amount:
            return None
        light = morph.light(image, mesh if own else placed)
        if own:
            placed = mesh
            detail = self.own_detail(image, mesh, light)
        light[0] += off if not own else 0.25 * off
        paint = morph.paint(detail, light, iris).at(morph.closed(openings))
        found = painted(paint, morph.model, placed, amount, SIZE)
        if found is None:
            return None
        colours, share = found
        drawn = np.dstack([colours.astype(np.float32) / 127.5 - 1.0, share])
        return drawn.astype(np.float32), placed

    def own_detail(self, image: NDArray[np.uint8], mesh: Floats, light: Floats) -> Floats:
        """The model's log detail (k, 3) nearest to that of a face in an image."""
        model = self._morph.model
        contrast = float(np.clip(light[-1, 0], 0.5, 1.1))
        levels = np.log(unroll(image, mesh, model.raster) + np.float32(LEVELS))
        rows = (levels - model.basis @ light[:-1]) / np.float32(contrast) - model.told(light[0])
        rows = np.clip(rows, -DETAIL, DETAIL)
        rows[model.between] = 0.0
        # What faces away tells nothing; the components fill it up.
        turn = mesh_measures.direction(mesh).turn
        bound = 2.5 if turn < 20.0 else 1.6
        found = model.model.texture @ rows.ravel() / model.model.texture_deviation
        return model.texture(np.clip(found, -bound, bound).astype(np.float32))
