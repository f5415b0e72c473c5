"""Images for the tests: made, with the smooth and the busy places that real ones have."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def scene(height: int, width: int, seed: int, *, grey: bool = False) -> NDArray[np.uint8]:
    """Smooth colour, a few sharp shapes and a textured patch."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(40, 215, (4, 4, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(4):
        centre = tuple(int(n) for n in draw.integers(0, (width, height)))
        radius = int(draw.integers(2, max(height // 4, 3)))
        colour = tuple(int(n) for n in draw.integers(0, 256, 3))
        cv2.circle(image, centre, radius, colour, -1)
    noise = draw.normal(0, 25, (height // 2, width // 2, 3))
    corner = image[: height // 2, : width // 2]
    corner[:] = np.clip(corner + noise, 0, 255).astype(np.uint8)
    if grey:
        image[:] = image.mean(axis=2, keepdims=True).astype(np.uint8)
    return image
