"""Stage 1b: the landmark net, which ships and which judges the generators.

It learns what the pack's detector says of images that are turned, zoomed, moved, lit, blurred
and partly hidden. Loss: Laplace's negative log likelihood with one scale a face (Kendall & Gal
2017), so that it also says how far off it expects to be.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stream_anon.methods.generative.bottleneck import TEMPLATE
from stream_anon.training.arch.landmarks import UNIT, LandmarkNet, shrink
from stream_anon.training.data import augment
from stream_anon.training.data.batches import Faces
from stream_anon.training.runtime import (
    Progress,
    autocast,
    cosine_schedule,
    load_checkpoint,
    place,
    save_checkpoint,
    step_generator,
)

log = logging.getLogger(__name__)

STAGE = 4

FRAMING = {"turn": 0.35, "zoom": 0.25, "shift": 9.0, "crop_scale": 1.15}
"""How faces lie in the crops that trackers cut."""


@dataclass(frozen=True)
class Lumas:
    """A pack as the net sees it: grey and small, so that a step's time goes into the net.

    Attributes:
        images: uint8 (n,1,64,64); what is unknown has the image's mean.
        landmarks: float32 (n,5,2), aligned units.
        faces: Where they come from.
    """

    images: Tensor
    landmarks: Tensor
    faces: Faces

    @staticmethod
    @torch.no_grad()
    def of(faces: Faces, batch: int = 256) -> Lumas:
        """Shrink every image of a pack."""
        found = []
        for start in range(0, len(faces), batch):
            index = torch.arange(start, min(start + batch, len(faces)), device=faces.device)
            rows = faces.rows(index)
            known = shrink(rows.valid.expand(-1, 3, -1, -1))
            level = shrink(rows.images * rows.valid)
            mean = level.mean((1, 2, 3), keepdim=True) / known.mean((1, 2, 3), keepdim=True)
            whole = torch.where(known > 0.99, level, mean)
            found.append(((whole + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        return Lumas(torch.cat(found), faces.landmarks, faces)

    def batch(self, count: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images (n,1,64,64) in [-1, 1], mirrored and moved, and their landmarks (n,5,2)."""
        index = self.faces.draw(count, rng)
        images = self.images[index].float().div_(127.5).sub_(1.0)
        points = self.landmarks[index]
        which = torch.rand(count, generator=rng, device=images.device) < 0.5
        images = torch.where(which.view(-1, 1, 1, 1), images.flip(3), images)
        points = torch.where(which.view(-1, 1, 1), augment.mirror_points(points), points)
        matrix = augment.random_affine(count, rng, **FRAMING)
        theta = matrix.clone()
        theta[:, :, 2] /= augment.SIZE / 2
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return moved, augment.warp_points(points, matrix)


def landmark_target(points: Tensor) -> Tensor:
    """Landmarks (n,5,2) in aligned units as the net states them: (n,10)."""
    template = torch.from_numpy(TEMPLATE).to(points.device)
    return ((points - template) / UNIT).flatten(1)


def hide(images: Tensor, rng: Generator, share: float = 0.3) -> Tensor:
    """Rectangles of one grey over a ``share`` of (n,c,h,w) in [-1, 1]: hands, hair, microphones."""
    n, _, height, width = images.shape
    size = augment.uniform((n, 2), 0.1, 0.4, rng)
    corner = augment.uniform((n, 2), 0.0, 0.8, rng)
    y = torch.linspace(0, 1, height, device=images.device)
    x = torch.linspace(0, 1, width, device=images.device)
    inside_y = (y >= corner[:, :1]) & (y < corner[:, :1] + size[:, :1])
    inside_x = (x >= corner[:, 1:]) & (x < corner[:, 1:] + size[:, 1:])
    level = augment.uniform((n, 1, 1, 1), -1.0, 1.0, rng)
    which = augment.uniform((n, 1, 1), 0.0, 1.0, rng) < share
    hidden = (inside_y[:, :, None] & inside_x[:, None, :] & which)[:, None]
    return torch.where(hidden, level, images)


def likelihood(found: Tensor, wanted: Tensor) -> Tensor:
    """Laplace's negative log likelihood of (n,10) under (n,11), averaged."""
    error = (found[:, :10] - wanted).abs().mean(1)
    scale = found[:, 10].clamp(-5.0, 2.0)
    return (error * (-scale).exp() + scale).mean()


def landmarks(
    faces: Faces,
    folder: Path,
    *,
    images: int,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
    checkpoint_seconds: float = 180.0,
) -> LandmarkNet:
    """Train the landmark net, or resume its training.

    Args:
        faces: The training images.
        folder: Where ``landmarks.pt`` lies.
        images: How many images to show in all.
        batch: Images a step.
        rate: Highest learning rate.
        seed: Of the whole stage.
        checkpoint_seconds: How often ``landmarks.pt`` is written.

    Returns:
        The net, in evaluation mode.
    """
    device = faces.device
    torch.manual_seed(seed)
    net = place(LandmarkNet(), device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    path = folder / "landmarks.pt"
    step = 0
    if path.exists():
        state = load_checkpoint(path, device)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    steps = images // batch
    progress = Progress("landmarks", images)
    lumas = Lumas.of(faces)
    written = time.monotonic()
    net.train()
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine_schedule((step + 1) / steps)
        rng = step_generator(seed, STAGE, step, device)
        shown, points = lumas.batch(batch, rng)
        seen = hide(augment.degrade(shown, rng, sides=(14, 60)), rng)
        with autocast(device):
            found = net(seen).float()
        wanted = landmark_target(points)
        loss = likelihood(found, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        apart = UNIT * (found[:, :10] - wanted).view(-1, 5, 2).norm(dim=2)
        width = (points[:, 1] - points[:, 0]).norm(dim=1).clamp(min=8.0)
        progress.add(
            batch, {"loss": loss.item(), "interocular": (apart.mean(1) / width).mean().item()}
        )
        progress.report(step * batch)
        if time.monotonic() - written > checkpoint_seconds or step == steps:
            written = time.monotonic()
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            save_checkpoint(path, state)
    return net.eval().requires_grad_(False)
