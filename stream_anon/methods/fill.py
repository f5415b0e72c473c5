"""Solid cover: one colour over the whole face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.masks import minimum_interior


class Fill(Method):
    """Every pixel of the mask takes one colour: nothing of the face is left but its mean.

    Args:
        colour: RGB, 0-255; None takes the mean colour of what is covered.
        crop_size: side of the crops in pixels.
    """

    name: ClassVar[str] = "fill"

    def __init__(self, colour: tuple[int, int, int] | None = None, crop_size: int = 16) -> None:
        self.crop_size = crop_size
        self._colour = colour

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        if self._colour is None:
            inside = minimum_interior(crops.shape[1])
            means: NDArray[np.float64] = crops[:, inside].mean(axis=1)
            colours = np.round(means).astype(np.uint8)
        else:
            colours = np.tile(np.array(self._colour, np.uint8), (len(crops), 1))
        return Rendered(np.broadcast_to(colours[:, None, None], crops.shape).copy())
