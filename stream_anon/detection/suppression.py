"""Of many candidates for one face one: non-maximum suppression that averages near doubles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Candidates = tuple[Array, Array, Array]
"""boxes (n, 4), landmarks (n, 5, 2), scores (n,), in network pixels."""

OVERLAP = 0.35
"""Intersection over union from which two candidates are the same face."""

CONTAINED = 0.7
"""Share of a weaker candidate's area inside a stronger one's from which it is a part of it: an
eye, a beard. Painting the stronger one covers it."""


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union of (n, 4) with (m, 4) boxes; shape (n, m)."""
    # A column for each coordinate: pairs in the last axis would cost NumPy several times more.
    x0, y0, x1, y1 = boxes.T[:, :, None]
    u0, v0, u1, v1 = others.T[:, None]
    wide = np.maximum(np.minimum(x1, u1) - np.maximum(x0, u0), 0.0)
    shared = wide * np.maximum(np.minimum(y1, v1) - np.maximum(y0, v0), 0.0)
    areas = np.maximum(x1 - x0, 0.0) * np.maximum(y1 - y0, 0.0)
    other_areas = np.maximum(u1 - u0, 0.0) * np.maximum(v1 - v0, 0.0)
    return np.asarray(shared / np.maximum(areas + other_areas - shared, 1e-9))


def merge(boxes: Array, landmarks: Array, scores: Array) -> Candidates:
    """One candidate for each face, best first.

    Candidates that overlap the best one are dropped; those that nearly coincide with it are
    averaged into it by their scores, which steadies the box from frame to frame.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, landmarks, scores = boxes[order], landmarks[order], scores[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    free = np.ones(len(scores), bool)
    kept: list[int] = []
    merged_boxes, merged_landmarks = boxes.copy(), landmarks.copy()
    # One row of overlaps for each face that is kept: all pairs of a crowd would not fit.
    for i in range(len(scores)):
        if not free[i]:
            continue
        left = np.flatnonzero(free)
        shared = overlaps(boxes[i : i + 1], boxes[left])[0]
        # From the union: shared area = iou (a + b) / (1 + iou).
        common = shared / (1 + shared) * (areas[i] + areas[left])
        inside = common / np.maximum(areas[left], 1e-9)
        same = left[((shared >= 0.6) & (scores[left] >= 0.5 * scores[i])) | (left == i)]
        if len(same) > 1:
            weight = scores[same] / scores[same].sum()
            merged_boxes[i] = weight @ boxes[same]
            merged_landmarks[i] = np.tensordot(weight, landmarks[same], axes=1)
        free[left] = (shared < OVERLAP) & (inside < CONTAINED) & (left != i)
        kept.append(i)
    return merged_boxes[kept], merged_landmarks[kept], scores[kept]
