"""The dense face mesh: 468 points in three dimensions, and whether there is a face at all.

The network is MediaPipe's ``face_landmark.tflite`` (Kartynnik et al. 2019, arXiv 1907.06724;
Apache-2.0), fetched by the registry and run by OpenVINO or torch. It is shown a square of about
one and a half face boxes, eyes level. What is derived from its points stands in
``stream_anon.alignment.mesh_measures``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.topology import POINTS
from stream_anon.models import registry
from stream_anon.models.backend import OPENVINO, Backend

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

NAME = "face_mesh"

SIDE = 192
"""Side in pixels of what the network is shown."""

PRESENT = 0.5
"""Presence from which there is a face; the network's own threshold."""

MOST = 8
"""Faces in one call of the network."""


class FaceMesh:
    """The mesh network.

    Args:
        models_dir: looked in before the other folders of the registry.
        threads: CPU threads.
        fetch: whether a file that is missing may be fetched.
        backend: runs it.

    Raises:
        ModelError: the network is missing, cannot be fetched or cannot be loaded.
    """

    def __init__(
        self,
        models_dir: str | Path | None = None,
        threads: int = 1,
        *,
        fetch: bool = True,
        backend: Backend = OPENVINO,
    ) -> None:
        path = registry.path(NAME, models_dir, fetch)
        self._net = backend.rows(path, (SIDE, SIDE, 3), 2, threads)

    def __call__(self, crops: Pixels) -> tuple[Floats, Floats]:
        """Find meshes.

        Args:
            crops: (n, s, s, 3) uint8 RGB; s other than 192 is resized.

        Returns:
            (n, 468, 3) float32: x and y in pixels of ``crops`` (centres at whole numbers), z in
            the same unit, smaller is nearer to the camera, about 0 at the head's middle; and
            (n,) float32 presence from 0 to 1. What is not finite is replaced by 0, presence too.

        Raises:
            ValueError: another shape or dtype.
        """
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (
            crops.shape[2], crops.shape[2], 3,
        ):  # fmt: skip
            raise ValueError(f"crops must be uint8 (n, s, s, 3), got {crops.dtype} {crops.shape}")
        count, side = len(crops), crops.shape[1]
        points = np.zeros((count, POINTS, 3), np.float32)
        presence = np.zeros(count, np.float32)
        for start in range(0, count, MOST):
            part = crops[start : start + MOST]
            shown = np.empty((len(part), SIDE, SIDE, 3), np.float32)
            for crop, into in zip(part, shown, strict=True):
                if side != SIDE:
                    flags = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
                    crop = cv2.resize(crop, (SIDE, SIDE), interpolation=flags)
                np.multiply(crop, np.float32(1.0 / 255.0), out=into)
            found, logits = self._net(shown)
            # The network's x is a distance from the left edge, not a pixel's number.
            scale = np.float32(side / SIDE)
            rows = found.reshape(len(part), POINTS, 3) * scale
            rows[..., :2] -= 0.5
            points[start : start + MOST] = rows
            with np.errstate(over="ignore"):
                presence[start : start + MOST] = 1.0 / (1.0 + np.exp(-logits.reshape(-1)))
        sound = np.isfinite(points).all(axis=(1, 2)) & np.isfinite(presence)
        points[~sound], presence[~sound] = 0.0, 0.0
        return points, presence
