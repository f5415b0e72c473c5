"""Solid cover: one colour over the whole face, or a slope of colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.methods.base import Method, Pixels, Rendered, Subject


class Fill(Method):
    """Every pixel of the mask takes one colour: nothing of the face is left but its mean.

    Args:
        colour: RGB, 0-255; None takes the mean colour of what is covered.
        crop_size: side of the crops in pixels.
        slope: without a colour, also keep how it falls from side to side and from top to bottom,
            as the light does: three numbers a channel are left of the face instead of one.
    """

    name: ClassVar[str] = "fill"
    faces_only: ClassVar[bool] = False
    batches: ClassVar[bool] = True

    def __init__(
        self,
        colour: tuple[int, int, int] | None = None,
        crop_size: int = 16,
        *,
        slope: bool = False,
    ) -> None:
        self.crop_size = crop_size
        self._colour = colour
        self._slope = slope

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        if self._colour is None and self._slope:
            return Rendered(_plane(crops))
        if self._colour is None:
            inside = minimum_interior(crops.shape[1])
            means: NDArray[np.float64] = crops[:, inside].mean(axis=1)
            colours = np.round(means).astype(np.uint8)
        else:
            colours = np.tile(np.array(self._colour, np.uint8), (len(crops), 1))
        return Rendered(np.broadcast_to(colours[:, None, None], crops.shape).copy())


def _plane(crops: Pixels) -> Pixels:
    """The plane of colour nearest to the inside of each crop: (n, s, s, 3)."""
    side = crops.shape[1]
    inside = minimum_interior(side)
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    basis = np.stack([np.ones(side * side), x.ravel(), y.ravel()], axis=1)
    solve = np.linalg.pinv(basis[inside.ravel()])
    planes = basis @ (solve @ crops[:, inside].astype(np.float64))
    return np.asarray(np.clip(np.rint(planes), 0, 255), np.uint8).reshape(crops.shape)
