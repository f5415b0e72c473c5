"""Visual Feature Entropy: our working definition, in whole numbers (see ``visual_mixer``)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.visual_mixer.layout import Layout

Pixels = NDArray[np.uint8]

SCALE = 16
"""VFE is kept in sixteenths."""


def check(image: Pixels) -> None:
    """Refuse what is no image.

    Raises:
        ValueError: it is not (h, w, 3) uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is (h, w, 3) uint8, not {image.shape} {image.dtype}")


_CHANNEL_SUM = np.ones((1, 3), np.float32)


def vfe_map(image: Pixels) -> NDArray[np.int32]:
    """(h - 1, w - 1) int32: gradient magnitude of each pixel in sixteenths, rounded down."""
    height, width = image.shape[:2]
    rows = image.reshape(height, 3 * width)
    here = rows[:-1, :-3]
    # Bytes as long as they will do: a square of 255 still fits 16 bits.
    across, down = cv2.absdiff(rows[:-1, 3:], here), cv2.absdiff(rows[1:, :-3], here)
    square = np.multiply(across, across, dtype=np.uint16).astype(np.float32)
    square += np.multiply(down, down, dtype=np.uint16)
    square = square.reshape(height - 1, width - 1, 3)
    return sixteenths(np.asarray(cv2.transform(square, _CHANNEL_SUM), np.float32))


def sixteenths(square: NDArray[np.float32]) -> NDArray[np.int32]:
    """Sixteenths of the roots of whole numbers, rounded down; what is given is overwritten."""
    # Whole numbers below 2**24 are exact in single precision and IEEE square roots are rounded
    # correctly everywhere, so this is the same number on every machine.
    root = np.sqrt(square, square)
    root *= np.float32(SCALE)
    return root.astype(np.int32)


def measure(image: Pixels) -> int:
    """Sum of ``vfe_map``."""
    return int(vfe_map(image).sum(dtype=np.int64))


def vfe(image: Pixels) -> float:
    """Visual Feature Entropy (our working definition) of an (h, w, 3) uint8 image.

    Raises:
        ValueError: not an image, or a side below 2.
    """
    check(image)
    if min(image.shape[:2]) < 2:
        raise ValueError("VFE needs at least two rows and two columns")
    domain: int = (image.shape[0] - 1) * (image.shape[1] - 1)
    return measure(image) / (SCALE * domain)


def region_sums(plan: Layout, values: NDArray[np.int32]) -> NDArray[np.int64]:
    """(regions,) int64: the sum of a ``vfe_map`` over each region."""
    down = np.add.reduceat(values, np.arange(0, plan.height - 1, plan.region), axis=0)
    sums = np.zeros((plan.rows, plan.columns), np.int64)
    both = np.add.reduceat(down, np.arange(0, plan.width - 1, plan.region), axis=1)
    sums[: both.shape[0], : both.shape[1]] = both
    return sums.ravel()
