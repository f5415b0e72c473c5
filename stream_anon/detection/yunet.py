"""YuNet: a tiny anchor-free detector (Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face
Detector", Machine Intelligence Research 2023).

At strides 8, 16 and 32: class and objectness scores, a box and five landmarks for each cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.suppression import Candidates
from stream_anon.models.engine import Engine

STRIDES = (8, 16, 32)


class YuNet(NetworkDetector):
    """A second detector, five times cheaper, a little blinder to small faces."""

    name = "yunet"
    smallest_input = 14.0

    def _engine(self, count: int, width: int, height: int) -> Engine:
        return Engine(
            self.path,
            {"input": (1, 3, height, width)},  # its graph is made for one image
            self.config.precision,
            self.threads,
            images="BGR",
        )

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], width: int, height: int
    ) -> Candidates:
        parts: list[Candidates] = []
        for stride in STRIDES:
            across = width // stride
            kind = np.clip(outputs[f"cls_{stride}"][0, :, 0].astype(np.float64), 0.0, 1.0)
            object_ = np.clip(outputs[f"obj_{stride}"][0, :, 0].astype(np.float64), 0.0, 1.0)
            scores = np.sqrt(kind * object_)
            cells = np.nonzero(scores >= self.config.keep_threshold)[0]
            corner = np.stack([cells % across, cells // across], axis=1).astype(np.float64)
            box = outputs[f"bbox_{stride}"][0, cells].astype(np.float64)
            centre = (corner + box[:, :2]) * stride
            half = np.exp(np.clip(box[:, 2:], -6.0, 6.0)) * stride / 2
            points = outputs[f"kps_{stride}"][0, cells].astype(np.float64).reshape(-1, 5, 2)
            landmarks = (corner[:, None] + points) * stride
            parts.append((np.hstack([centre - half, centre + half]), landmarks, scores[cells]))
        boxes, marks, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return boxes, marks, scores
