"""Stage 1: distil a recogniser into a plain-convolution encoder.

The student sees what the teacher sees (the same moved, lit, degraded and
blended images) and learns its unit code (Hinton et al. 2015, with the cosine
as the distance). Blends of two people fill the space between the identities.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stream_anon.training.arch.encoder import STUDENT_A, Encoder
from stream_anon.training.arch.recogniser import OnnxRecogniser
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

STAGE = 1


def distil(
    faces: Faces,
    teacher: OnnxRecogniser,
    folder: Path,
    *,
    images: int = 150_000,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
    checkpoint_seconds: float = 180.0,
) -> Encoder:
    """Train the identity encoder, or resume its training.

    Args:
        faces: The training images.
        teacher: Whose code is learned.
        folder: Where ``distil.pt`` lies.
        images: How many images to show in all.
        batch: Images a step.
        rate: Highest learning rate.
        seed: Of the whole stage.
        checkpoint_seconds: How often ``distil.pt`` is written.

    Returns:
        The encoder, in evaluation mode.
    """
    device = faces.device
    torch.manual_seed(seed)
    student = place(Encoder(STUDENT_A), device)
    nets = nn.ModuleDict({"student": student})
    optimizer = torch.optim.AdamW(nets.parameters(), lr=rate, weight_decay=0.02)
    path = folder / "distil.pt"
    step = 0
    if path.exists():
        state = load_checkpoint(path, device)
        nets.load_state_dict(state["nets"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    steps = images // batch
    progress = Progress("distil", images)
    written = time.monotonic()
    nets.train()
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine_schedule((step + 1) / steps)
        rng = step_generator(seed, STAGE, step, device)
        drawn = faces.batch(batch, rng, turn=0.2, zoom=0.1, shift=6.0)
        x = augment.relight(drawn.images, rng)
        x = augment.degrade(x, rng)
        blend = augment.uniform((batch, 1, 1, 1), -1.0, 0.5, rng).clamp(min=0.0)
        mixed = (x * (1 - blend) + x.roll(1, 0) * blend).contiguous(
            memory_format=torch.channels_last
        )
        with autocast(device):
            with torch.no_grad():
                target = teacher(mixed)
            code = student(mixed)
        cosine = F.cosine_similarity(code, target, dim=1).mean()
        loss = 1 - cosine
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        progress.add(batch, {"cosine": cosine.item()})
        progress.report(step * batch)
        if time.monotonic() - written > checkpoint_seconds or step == steps:
            written = time.monotonic()
            save_checkpoint(
                path,
                {"nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
            )
    return student.eval().requires_grad_(False)
