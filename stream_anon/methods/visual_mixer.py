"""VisualMixer for faces in video: pixels shuffled inside the face, no noise, no network.

Source: Li et al., "You Can Use But Cannot Recognize", NDSS 2024; what of it is ours stands in
``stream_anon/visual_mixer/mix.py``. The method belongs to data that networks will read;
for a face that people will look at, take another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import MethodFault, UsageError
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.privacy.randomness import KEY_BYTES, SecureRandom
from stream_anon.track_state import Part
from stream_anon.visual_mixer.mix import DEFAULT_VFE, Outcome, mix

LOSSY_WARNING = (
    "visual-mixer: lossy video undoes part of the shuffle: 4:2:0 colour alone takes a VFE of 100 "
    "to about 68 at any bit rate, and low bit rates leave a network little more than each "
    "window's mean; for training data use `stream-anon mix`, which writes PNG"
)
"""To be shown when the result is encoded with loss."""

GRID_STEP = 16
SMALLEST_GRID = 32

GRID_PER_BOX = 1.25
"""Side of the aligned face space over the face box's size, roughly: the frame has a margin."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shuffle:
    """What is drawn once for a track and kept: the permutation. The key itself is not kept."""

    side: int
    index: NDArray[np.int32]
    outcome: Outcome
    vfe: float

    def wipe(self) -> None:
        """Overwrite the permutation."""
        self.index.fill(0)


class VisualMixer(Method):
    """Shuffle each face up to a Visual Feature Entropy; one permutation for each track.

    The grid is fixed to the aligned face space and the permutation and windows are those of the
    track's first face. A fresh permutation on every frame would let the mean of many frames
    show each window's mean, and more where the face moves across the grid. A permutation that
    is kept has its own limit: within *one* track, pixels that change together stay together,
    and whoever has the clear face of one frame undoes the whole track. Never two tracks.

    A face that is small in the image is shuffled on a coarser grid of about its own size:
    shuffling first and shrinking afterwards would average the shuffle away.

    Args:
        vfe: target, on the 0-255 scale; None takes ``DEFAULT_VFE``. A face that cannot reach it
            is shuffled fully.
        crop_size: side of the crops in pixels, a multiple of 16 from 32 on.
        random: where permutations come from; None makes a generator from the operating system.

    Raises:
        UsageError: the target or crop size makes no sense.
    """

    name: ClassVar[str] = "visual-mixer"
    batches: ClassVar[bool] = True

    def __init__(
        self, vfe: float | None = None, crop_size: int = 112, random: SecureRandom | None = None
    ) -> None:
        target = DEFAULT_VFE if vfe is None else vfe
        if not 0.0 < target < 1e4:
            raise UsageError(f"a target VFE must be positive, not {vfe}")
        if crop_size < SMALLEST_GRID or crop_size % GRID_STEP:
            raise UsageError(f"crop_size must be a multiple of {GRID_STEP}, not {crop_size}")
        self.crop_size = crop_size
        self._target = target
        self._random = SecureRandom() if random is None else random.spawn(self.name)
        self._shuffles: Part[_Shuffle] = Part(wipe=_Shuffle.wipe)

    def render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        """See ``Method.render``."""
        size = self.crop_size
        if crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise MethodFault(f"visual-mixer takes {size} px crops, not {crops.shape}")
        result = np.empty_like(crops)
        for face, subject, out in zip(crops, subjects, result, strict=True):
            known = self._shuffles.get(subject.state)
            side = grid_side(subject.size, size) if known is None else known.side
            small = (
                face
                if side == size
                else cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
            )
            if known is None:
                # The key lives for this call only: the permutation is all that is needed later.
                first = mix(small, self._random.bytes(KEY_BYTES), self._target)
                kept = _Shuffle(side, first.index, first.outcome, first.vfe)
                self._shuffles.put(subject.state, kept)
                mixed = first.image
            else:
                mixed = np.take(np.ascontiguousarray(small).ravel(), known.index).reshape(
                    small.shape
                )
            if side == size:
                out[:] = mixed
            else:
                out[:] = cv2.resize(mixed, (size, size), interpolation=cv2.INTER_NEAREST)
        return Rendered(result)

    def warning(self) -> str:
        """See ``Method.warning``."""
        return LOSSY_WARNING

    def close(self) -> None:
        """See ``Method.close``. What states still hold is wiped with them."""
        self._shuffles = Part(wipe=_Shuffle.wipe)
        self._random.close()


def grid_side(face: float, size: int) -> int:
    """Side of the grid for a face of so many pixels, a multiple of ``GRID_STEP`` up to ``size``."""
    wanted = GRID_STEP * round(face * GRID_PER_BOX / GRID_STEP)
    return min(max(wanted, SMALLEST_GRID), size)
