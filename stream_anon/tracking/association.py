"""Which detection belongs to which track: minimum-cost assignment within gates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.suppression import overlaps

Array = NDArray[np.float64]

SIZE_WEIGHT = 0.7
"""Cost of a size that differs by a factor e, against a distance of one gate."""

MAX_SIZE_CHANGE = 0.8
"""Largest difference of log sizes that one face may show from one detector run to the next."""

KNOWN_OVERLAP = 0.3
"""Intersection over union from which a face that a glance found is one that is known."""


def costs(predicted: Array, gating_radii: Array, boxes: Array) -> Array:
    """Cost of giving each detection to each track; infinite outside the gate.

    Args:
        predicted: (n, 4) where the tracks' boxes should be.
        gating_radii: (n,) how far from there a detection may lie, in sizes of the face.
        boxes: (m, 4) detections.

    Returns:
        (n, m); 0 is a perfect match, 1 lies on the gate.
    """
    where, size = _centre_and_size(predicted)
    found, found_size = _centre_and_size(boxes)
    distance = np.linalg.norm(where[:, None] - found[None], axis=2)
    distance /= np.sqrt(size[:, None] * found_size[None])
    unlike = np.abs(np.log(size[:, None] / found_size[None]))
    cost = distance / gating_radii[:, None] + SIZE_WEIGHT * unlike
    return np.where((distance < gating_radii[:, None]) & (unlike < MAX_SIZE_CHANGE), cost, np.inf)


def assign(cost: Array) -> list[tuple[int, int]]:
    """Pairs (row, column) with the most pairs of finite cost, and of those the least cost.

    The Hungarian method by shortest augmenting paths (Jonker and Volgenant, Computing 38,
    1987), O(n^3) with its inner loop in NumPy.

    Args:
        cost: (n, m), infinite where a pair is forbidden; no NaN.

    Returns:
        Pairs in order of their rows.

    Raises:
        ValueError: a cost is NaN or minus infinity.
    """
    if np.isnan(cost).any() or (cost == -np.inf).any():
        raise ValueError("a cost is not a number")
    allowed = np.isfinite(cost)
    if not allowed.any():
        return []
    rows, columns = np.nonzero(allowed.any(axis=1))[0], np.nonzero(allowed.any(axis=0))[0]
    small = cost[np.ix_(rows, columns)]
    if len(rows) == 1 or len(columns) == 1:
        row, column = np.unravel_index(int(np.argmin(small)), small.shape)
        return [(int(rows[row]), int(columns[column]))]
    finite = np.isfinite(small)
    # Forbidden pairs cost more than any set of allowed ones: they are chosen last, then dropped.
    spread = float(np.ptp(small[finite])) + 1.0
    small = np.where(finite, small - small[finite].min(), spread * (min(small.shape) + 1))
    turned = small.shape[0] > small.shape[1]
    pairs = [
        (column, row) if turned else (row, column)
        for row, column in enumerate(_shortest_paths(small.T if turned else small))
    ]
    return sorted((int(rows[r]), int(columns[c])) for r, c in pairs if finite[r, c])


def _shortest_paths(cost: Array) -> list[int]:
    """Column of each row, for n rows and m >= n columns of finite costs >= 0."""
    n, m = cost.shape
    row_price, column_price = np.zeros(n), np.zeros(m + 1)
    owner = np.full(m + 1, -1)  # the row that holds each column; m stands for "none yet"
    for row in range(n):
        owner[m] = row
        here = m
        least = np.full(m, np.inf)
        before = np.full(m, m)
        seen = np.zeros(m + 1, bool)
        while owner[here] >= 0:
            seen[here] = True
            r = owner[here]
            open_ = ~seen[:m]
            reduced = cost[r] - row_price[r] - column_price[:m]
            better = open_ & (reduced < least)
            least[better] = reduced[better]
            before[better] = here
            there = int(np.argmin(np.where(open_, least, np.inf)))
            step = least[there]
            row_price[owner[seen]] += step
            column_price[seen] -= step
            least[open_] -= step
            here = there
        while here != m:
            owner[here] = owner[before[here]]
            here = before[here]
    column_of = np.empty(n, int)
    held = np.nonzero(owner[:m] >= 0)[0]
    column_of[owner[held]] = held
    return [int(column) for column in column_of]


def _centre_and_size(boxes: Array) -> tuple[Array, Array]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(sides.prod(axis=1))


def unknown(boxes: Array, known: Array) -> NDArray[np.bool_]:
    """Which of (n, 4) boxes overlap none of (m, 4) others by ``KNOWN_OVERLAP``."""
    if not len(boxes) or not len(known):
        return np.ones(len(boxes), np.bool_)
    return np.asarray(overlaps(boxes, known).max(axis=1) < KNOWN_OVERLAP)
