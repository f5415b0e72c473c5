"""Gaussian blur, strong enough that only colours are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from stream_anon.methods.base import Method, Pixels, Rendered, Subject


class Blur(Method):
    """A Gaussian low-pass in the aligned face space.

    A blur whose kernel is known can be partly undone; it is here as the baseline that others
    are measured against. The crop is small, so nothing finer than it survives.

    Args:
        deviation: standard deviation as a share of the aligned face space's side, 0 to 1.
    """

    name: ClassVar[str] = "blur"
    faces_only: ClassVar[bool] = False
    batches: ClassVar[bool] = True

    def __init__(self, deviation: float = 0.22) -> None:
        self.crop_size = 32
        self._sigma = deviation * self.crop_size

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        blurred = [
            cv2.GaussianBlur(crop, (0, 0), self._sigma, borderType=cv2.BORDER_REPLICATE)
            for crop in crops
        ]
        return Rendered(np.stack(blurred))
