"""Stage 1: distil a recogniser into plain-convolution encoders, and learn landmarks.

The student sees what the teacher sees (the same moved, lit, degraded and
blended pictures) and learns its unit code (Hinton et al. 2015, with the cosine
as the distance). Blends of two people fill the space between the identities.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stream_anon.networks.arch.encoder import STUDENT_A, Encoder, Landmarker
from stream_anon.networks.arch.recogniser import OnnxRecogniser
from stream_anon.networks.face_frame import TEMPLATE
from stream_anon.training import augment
from stream_anon.training.data import Faces
from stream_anon.training.runtime import (
    Progress,
    autocast,
    load_checkpoint,
    place,
    save_checkpoint,
    step_generator,
)

log = logging.getLogger(__name__)

STAGE = 1
LANDMARK_UNIT = 16.0


def landmark_target(points: Tensor) -> Tensor:
    """Landmarks (n,5,2) as the landmarker states them: (n,10)."""
    template = torch.from_numpy(TEMPLATE).to(points.device)
    return ((points - template) / LANDMARK_UNIT).flatten(1)


def cosine_schedule(progress: float, warm: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if progress < warm:
        return progress / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def distil(
    faces: Faces,
    teacher: OnnxRecogniser,
    folder: Path,
    *,
    pictures: int = 150_000,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
    checkpoint_seconds: float = 180.0,
) -> tuple[Encoder, Landmarker]:
    """Train the identity encoder and the landmarker, or resume their training.

    Args:
        faces: The training pictures.
        teacher: Whose code is learned.
        folder: Where ``distil.pt`` lies.
        pictures: How many pictures to show in all.
        batch: Pictures a step.
        rate: Highest learning rate.
        seed: Of the whole stage.
        checkpoint_seconds: How often ``distil.pt`` is written.

    Returns:
        The encoder and the landmarker, in evaluation mode.
    """
    device = faces.device
    torch.manual_seed(seed)
    student = place(Encoder(STUDENT_A), device)
    landmarker = place(Landmarker(), device)
    nets = nn.ModuleDict({"student": student, "landmarker": landmarker})
    optimizer = torch.optim.AdamW(nets.parameters(), lr=rate, weight_decay=0.02)
    path = folder / "distil.pt"
    step = 0
    if path.exists():
        state = load_checkpoint(path, device)
        nets.load_state_dict(state["nets"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    steps = pictures // batch
    progress = Progress("distil", pictures)
    written = time.monotonic()
    nets.train()
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine_schedule((step + 1) / steps)
        rng = step_generator(seed, STAGE, step, device)
        drawn = faces.batch(batch, rng, turn=0.2, zoom=0.1, shift=6.0)
        x = augment.relight(drawn.pictures, rng)
        x = augment.degrade(x, rng)
        blend = augment.uniform((batch, 1, 1, 1), -1.0, 0.5, rng).clamp(min=0.0)
        mixed = (x * (1 - blend) + x.roll(1, 0) * blend).contiguous(
            memory_format=torch.channels_last
        )
        with autocast(device):
            with torch.no_grad():
                target = teacher(mixed)
            code = student(mixed)
            found = landmarker(x)
        cosine = F.cosine_similarity(code, target, dim=1).mean()
        error = F.smooth_l1_loss(found, landmark_target(drawn.landmarks), beta=0.05)
        loss = (1 - cosine) + error
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        progress.add(batch, {"cosine": cosine.item(), "landmark": error.item()})
        progress.report(step * batch)
        if time.monotonic() - written > checkpoint_seconds or step == steps:
            written = time.monotonic()
            save_checkpoint(
                path,
                {"nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
            )
    return student.eval().requires_grad_(False), landmarker.eval().requires_grad_(False)
