"""Sample sheets: what the generator draws now, to be looked at by a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stream_anon.training.arch.conceal import Conceal, heatmaps, hints, place
from stream_anon.training.data.batches import Batch
from stream_anon.training.data.paintings import Paintings
from stream_anon.training.runtime import autocast


@torch.no_grad()
def sheet(
    path: Path,
    generator: nn.Module,
    conceal: Conceal,
    batch: Batch,
    codes: list[Tensor],
    paintings: list[Paintings] | None = None,
) -> None:
    """Write a PNG: one column a face; rows are the image, the context, then each code.

    Args:
        path: Where to.
        generator: In evaluation mode.
        conceal: Its bottleneck.
        batch: n faces.
        codes: One (n,d) for each further row.
        paintings: Likewise; each has a row of its own beneath.
    """
    context, colours = conceal(batch.images, batch.valid)
    told = hints(colours, batch.landmarks)
    maps, where = heatmaps(batch.landmarks), place(batch.landmarks)
    rows = [batch.images, context[:, :3]]
    packed = context.contiguous(memory_format=torch.channels_last)
    all_shown: Sequence[Paintings | None] = paintings or [None] * len(codes)
    for code, shown in zip(codes, all_shown, strict=True):
        with autocast(context.device):
            drawing = None if shown is None else shown.drawing
            face = generator(packed, maps, told, where, code, drawing).float()
        faces = [face] if shown is None else [face, shown.put(face)]
        rows += [conceal.paint * f + (1 - conceal.paint) * batch.images for f in faces]
    rows = [row * batch.valid for row in rows]
    lines = [torch.cat(list(row.clamp(-1, 1)), 2) for row in rows]
    image = torch.cat(lines, 1).permute(1, 2, 0).float().cpu().numpy()
    rgb = np.rint((image + 1) * 127.5).astype(np.uint8)
    cv2.imwrite(str(path), rgb[..., ::-1])
