"""Five landmarks of faces that a tracker already has, many times a second.

A detector looks now and then, at frames it has shrunk; between its looks a tracker can only
interpolate, and a mouth that opened and closed again was never open. This net looks at the face
itself, in the crop in which its motion is measured anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.models import WEIGHTS
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.models.engine import Engine

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

NAME = "landmarks"

SIDE = 64
"""Side in pixels of the crops, which show the whole aligned face space."""

UNIT = 16.0
"""Aligned units in which the net states offsets and errors."""

MAX_EXPECTED_ERROR = 2.0
"""Expected error in units from which the net is not believed: hidden, turned away, no face."""

MAX_DISTANCE = 16.0
"""Mean distance in units to the tracker's landmarks beyond which it found another face."""


class LandmarkFinder:
    """The landmark net (`training.arch.landmarks`): one face at a time on the CPU, where batches
    gain nothing, all faces at once on a device.

    Args:
        threads: CPU threads.
        backend: runs it.

    Raises:
        ModelError: its weights are missing or cannot be loaded.
    """

    def __init__(self, threads: int = 1, backend: Backend = OPENVINO) -> None:
        path, shape = WEIGHTS / f"{NAME}.onnx", (1, SIDE, SIDE)
        if backend.kind == "torch":
            self._rows = backend.rows(path, shape, 1, threads)
        else:
            net = Engine(path, {"luma": (1, *shape)}, threads=threads)
            self._rows = lambda rows: [np.concatenate([net([row[None]])[0] for row in rows])]

    def __call__(self, crops: Sequence[Pixels]) -> tuple[Array, Array]:
        """Find landmarks.

        Args:
            crops: n of (64, 64) uint8 luma over an aligned face space.

        Returns:
            (n, 5, 2) float64 aligned units, and (n,) the error expected of them.
        """
        points, errors = np.empty((len(crops), 5, 2)), np.empty(len(crops))
        if not len(crops):
            return points, errors
        given = np.stack(crops)[:, None].astype(np.float32)
        for i, row in enumerate(self._rows(given)[0].astype(np.float64)):
            points[i] = geometry.TEMPLATE + UNIT * row[:10].reshape(5, 2)
            errors[i] = UNIT * np.exp(np.clip(row[10], -5.0, 2.0))
        return points, errors


def believed(found: Array, error: float, known: Array) -> bool:
    """Whether landmarks (5, 2) that were found may take the place of those that were known.

    Args:
        found: aligned units.
        error: that is expected of them.
        known: the tracker's, in the same units.
    """
    if not np.isfinite(found).all() or not error < MAX_EXPECTED_ERROR:
        return False
    return float(np.hypot(*(found - known).T).mean()) < MAX_DISTANCE
