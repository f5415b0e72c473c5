"""Batches from a data pack: held on the device as bytes, sampled in balance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from stream_anon.methods.generative.bottleneck import CROP_SCALE
from stream_anon.training.data import augment
from stream_anon.training.data.pack import Pack

FRAMING = {"turn": 0.1, "zoom": 0.18, "shift": 3.0, "crop_scale": 1.05 * CROP_SCALE}
"""How faces lie in the crops a generator is shown: as a tracker places them."""


@dataclass(frozen=True)
class Batch:
    """Faces on the device.

    Attributes:
        images: float32 (n,3,128,128) RGB in [-1, 1], channels last in memory.
        valid: float32 (n,1,128,128), 0 where the image is unknown.
        landmarks: float32 (n,5,2), aligned units.
        index: int64 (n,), the row in the pack.
        meshes: float32 (n,468,3), aligned units, 0 where none was found; None if the faces have
            none.
    """

    images: Tensor
    valid: Tensor
    landmarks: Tensor
    index: Tensor
    meshes: Tensor | None = None


def balance(pack: Pack) -> NDArray[np.float64]:
    """Sampling weights: rare skin tones and poses are drawn more often.

    Tone is the mean luma between eyes and mouth in seven equal steps, pose the
    nose's offset from the middle of the eyes in interocular units. An image's
    weight is the inverse square root of how many share its cell. Images that
    fill the crop get 60 % of the draws, tight chips the rest.
    """
    images = pack.images[:, 62:98:4, 46:84:4].astype(np.float32).reshape(len(pack), -1, 3)
    luma = images.mean(1) @ np.array([0.299, 0.587, 0.114], np.float32)
    tone = np.clip(luma / 256 * 7, 0, 6).astype(int)
    points = pack.landmarks
    eyes = (points[:, 0] + points[:, 1]) / 2
    distance = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    yaw = (points[:, 2, 0] - eyes[:, 0]) / np.maximum(distance, 1)
    pose = np.clip((yaw + 0.625) / 0.25, 0, 4).astype(int)
    cell = tone * 5 + pose
    weight = 1.0 / np.sqrt(np.bincount(cell, minlength=35)[cell])
    full = fills(pack)
    for group, share in ((full, 0.6), (~full, 0.4)):
        if group.any():
            weight[group] *= share / weight[group].sum()
    return np.asarray(weight / weight.sum(), np.float64)


def fills(pack: Pack) -> NDArray[np.bool_]:
    """Which images (n,) fill their crop; others are tight chips."""
    return np.asarray(pack.valid.reshape(len(pack), -1).mean(1) > 0.95)


class Faces:
    """A pack on a device.

    Attributes:
        whole: bool (n,), which images fill their crop.

    Args:
        pack: The faces.
        device: Where images are kept (as bytes) and batches are made.
        meshes: float32 (n,468,3) of its images, 0 where none was found; None if there are none.
    """

    def __init__(
        self, pack: Pack, device: torch.device, meshes: NDArray[np.float32] | None = None
    ) -> None:
        self.device = device
        self._meshes = None if meshes is None else torch.from_numpy(meshes).to(device)
        self.images = torch.from_numpy(pack.images).to(device)
        packed = np.packbits(pack.valid.reshape(len(pack), -1), axis=1)
        self._packed = torch.from_numpy(packed).to(device)
        self.landmarks = torch.from_numpy(np.array(pack.landmarks)).to(device)
        self._weights = torch.from_numpy(balance(pack)).to(device)
        self.whole = torch.from_numpy(fills(pack)).to(device)
        self._bits = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=device)

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, count: int, rng: Generator) -> Tensor:
        """Draw rows by the balanced weights."""
        return torch.multinomial(self._weights, count, replacement=True, generator=rng)

    def rows(self, index: Tensor) -> Batch:
        """The faces of these rows, as they are."""
        pixels = self.images[index].permute(0, 3, 1, 2)
        images = pixels.float().div_(127.5).sub_(1.0)
        bits = (self._packed[index][:, :, None] & self._bits) > 0
        valid = bits.reshape(len(index), 1, augment.SIZE, augment.SIZE).float()
        meshes = None if self._meshes is None else self._meshes[index]
        return Batch(images, valid, self.landmarks[index], index, meshes)

    def batch(
        self,
        count: int,
        rng: Generator,
        *,
        turn: float = 0.1,
        zoom: float = 0.06,
        shift: float = 3.0,
        crop_scale: float = 1.0,
    ) -> Batch:
        """A balanced batch, mirrored half of the time and moved a little."""
        rows = self.rows(self.draw(count, rng))
        return self.moved(rows, rng, turn=turn, zoom=zoom, shift=shift, crop_scale=crop_scale)

    def moved(
        self,
        rows: Batch,
        rng: Generator,
        *,
        turn: float,
        zoom: float,
        shift: float,
        crop_scale: float,
    ) -> Batch:
        """Rows mirrored half of the time, then moved as by `augment.random_affine`.

        Beyond an image that fills its crop lies its own reflection, beyond others nothing: the
        surroundings of a face do not end where the crop of its training image did.
        """
        count = len(rows.images)
        which = torch.rand(count, generator=rng, device=self.device) < 0.5
        images, valid, points = augment.mirror(rows.images, rows.valid, rows.landmarks, which)
        matrix = augment.random_affine(
            count, rng, turn=turn, zoom=zoom, shift=shift, crop_scale=crop_scale
        )
        moved = augment.warp(torch.cat([images, valid], 1), matrix, fill="reflection")
        whole = valid.mean((1, 2, 3), keepdim=True) > 0.95
        inside = augment.warp(valid, matrix, fill="zeros")
        valid = (torch.where(whole, moved[:, 3:], inside) > 0.99).float()
        images = moved[:, :3] * valid
        points = augment.warp_points(points, matrix)
        meshes = rows.meshes
        if meshes is not None:
            meshes = torch.where(which.view(-1, 1, 1), augment.mirror_meshes(meshes), meshes)
            meshes = augment.warp_meshes(meshes, matrix)
        return Batch(
            images.contiguous(memory_format=torch.channels_last), valid, points, rows.index, meshes
        )
