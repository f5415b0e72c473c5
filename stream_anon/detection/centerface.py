"""CenterFace: faces as points (Xu, Yan, Yang et al., "CenterFace: Joint Face Detection and
Alignment Using Face as Point", 2019).

A heat map at a quarter of the input, and for each cell log sizes, an offset and five
landmarks relative to the box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.network import BATCHES, NetworkDetector
from stream_anon.detection.suppression import Candidates
from stream_anon.models.engine import Engine

STRIDE = 4
"""Input pixels per cell of the heat map."""

LARGEST_LOG = 6.2
"""Log sizes above this (about 2,000 pixels) are noise of empty cells."""


class CenterFace(NetworkDetector):
    """The default detector."""

    name = "centerface"
    smallest_input = 12.0

    batches = BATCHES

    def _engine(self, count: int, width: int, height: int) -> Engine:
        return Engine(
            self.path,
            {"input.1": (count, 3, height, width)},
            self.config.precision,
            self.threads,
            images="RGB",
        )

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], width: int, height: int
    ) -> Candidates:
        heat, log_size = outputs["537"][0, 0], outputs["538"][0]
        offset, relative = outputs["539"][0], outputs["540"][0]
        rows, columns = np.nonzero(heat >= self.config.keep_threshold)
        scores = np.clip(heat[rows, columns].astype(np.float64), 0.0, 1.0)
        logs = np.clip(log_size[:, rows, columns].astype(np.float64), -2.0, LARGEST_LOG)
        high, wide = np.exp(logs) * STRIDE
        y = (rows + offset[0, rows, columns] + 0.5) * STRIDE - high / 2
        x = (columns + offset[1, rows, columns] + 0.5) * STRIDE - wide / 2
        boxes = np.stack([x, y, x + wide, y + high], axis=1)
        points = relative[:, rows, columns].astype(np.float64).reshape(5, 2, -1)
        landmarks = np.stack([points[:, 1] * wide + x, points[:, 0] * high + y], axis=-1)
        return boxes, landmarks.transpose(1, 0, 2), scores
