"""How the surface of a face moved since the frame before, coarsely.

Turn, size and place of a head are in its crop's transform. What is left - a jaw that opens, a
cheek that turns away - is measured as dense flow (DIS, Kroeger et al. 2016) between two small
grey crops and told on a coarse grid: a drawing can be carried along with it instead of being drawn
anew. Motion is all that leaves this module; pose and expression are not private.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.geometry import apply, invert
from stream_anon.track_state import Part, TrackState

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

GRID = 16
"""Points of the field along each side of the aligned face space."""

LARGEST = 6.0
"""Aligned units by which the surface may move within its crop; more is a mistake."""

SMOOTH = 4.0
"""Standard deviation in units by which the flow is smoothed."""

_CELL = 128 / GRID
_axis = (np.arange(GRID) + 0.5) * _CELL - 0.5
_NODES: Array = np.stack(np.meshgrid(_axis, _axis), axis=-1).reshape(-1, 2)


@dataclass(slots=True, eq=False)
class _State:
    crop: Pixels
    transform: Array
    alignment: Array
    seconds: float


class NonRigidFlow:
    """Per track, the crop of the frame before; nobody else reads it.

    Args:
        extent: aligned units that a crop shows.
        longest: seconds between two frames beyond which nothing is known.
    """

    def __init__(self, extent: float, longest: float = 0.25) -> None:
        self._extent = extent
        self._longest = longest
        self._last: Part[_State] = Part()
        # Half the crop's resolution and no variational pass: a quarter of the time of a finer
        # flow, of which the smoothing below would leave no more.
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._flow.setVariationalRefinementIterations(0)
        self._flow.setPatchSize(12)
        self._flow.setPatchStride(6)

    def __call__(
        self, state: TrackState, crop: Pixels, transform: Array, alignment: Array, seconds: float
    ) -> Field | None:
        """Where the surface was.

        Args:
            state: of the track; keeps the crop until the next frame.
            crop: (s, s) uint8 luma of the frame under ``transform``.
            transform: (2, 3), frame pixels to the crop's aligned units.
            alignment: (2, 3), frame pixels to the units in which the answer is given.
            seconds: of the frame; they rise.

        Returns:
            (16, 16, 2) float32: for points of ``alignment``, cell centres, how far from there in
            the crop of the frame before the same point of the surface lay. None where it is not
            known.
        """
        last = self._last.get(state)
        self._last.put(state, _State(crop, transform, alignment, seconds))
        if last is None or not 0.0 < seconds - last.seconds <= self._longest:
            return None
        if last.crop.shape != crop.shape:
            return None
        scale = crop.shape[0] / self._extent
        flow = cv2.GaussianBlur(self._flow.calc(crop, last.crop, None), (0, 0), SMOOTH * scale)
        here = apply(invert(alignment), _NODES)
        there = (apply(transform, here) + 0.5) * scale - 0.5
        x, y = np.ascontiguousarray(there.T, np.float32)
        border = cv2.BORDER_REPLICATE
        moved = cv2.remap(flow, x[None], y[None], cv2.INTER_LINEAR, borderMode=border)[0]
        units = (there + moved + 0.5) / scale - 0.5
        before = apply(last.alignment, apply(invert(last.transform), units))
        field = np.clip(before - _NODES, -LARGEST, LARGEST).astype(np.float32)
        return np.ascontiguousarray(field.reshape(GRID, GRID, 2))
