"""One decoded frame, behind the four verbs that everything else uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Transforms = NDArray[np.float64]


class Frame(ABC):
    """A decoded frame on some device: read by thumbnails and crops, changed by paste.

    Attributes:
        stream: index of the video stream in its container.
        index: position of the frame in presentation order within the stream, from 0.
        pts: presentation time in units of ``time_base``.
        time_base: seconds per unit of ``pts``.
        width: luma samples per row.
        height: luma rows.
        corrupt: the decoder flagged the frame as damaged.

    The frame is patched in place. It is made writable before the first paste, since
    the decoder may still predict later frames from the same memory.
    """

    stream: int
    index: int
    pts: int
    time_base: Fraction
    width: int
    height: int
    corrupt: bool

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        # What float(pts * time_base) gives, without making a Fraction for every face.
        return self.pts * self.time_base.numerator / self.time_base.denominator

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory that the frame's planes take."""

    @abstractmethod
    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame scaled to ``(height, width, 3)``, BGR, 0-255."""

    @abstractmethod
    def luma(self, step: int) -> Pixels:
        """Every ``step``-th luma sample of every ``step``-th row, 8 bit; for cuts and motion."""

    @abstractmethod
    def motion(self) -> NDArray[np.float32] | None:
        """Block motion as the decoder exported it, or None.

        Shape (n, 5), float32: x, y of the block's centre in this frame, dx, dy in pixels
        from the *previous frame in presentation order* to this one, and the block's area.
        """

    @abstractmethod
    def crops(self, transforms: Transforms, size: int, extent: float) -> Pixels:
        """Cut aligned squares.

        Args:
            transforms: (n, 2, 3) float64, frame pixels to units of a square frame.
            size: side of the crops in pixels.
            extent: side of the square frame in units. Pixel ``i`` of a crop has its centre at
                ``(i + 0.5) * extent / size - 0.5`` units.

        Returns:
            (n, size, size, 3) uint8 RGB; area outside the frame repeats its border.
        """

    @abstractmethod
    def paste(self, crops: Pixels, masks: Pixels, transforms: Transforms, extent: float) -> None:
        """Blend crops back in place, where their masks say.

        Args:
            crops: (n, s, s, 3) uint8 RGB, as from ``crops``.
            masks: (n, m, m) uint8; 0 keeps the frame, 255 replaces it. ``m`` may differ
                from ``s``.
            transforms: (n, 2, 3) float64, as for ``crops``.
            extent: as for ``crops``.

        Raises:
            ValueError: shapes or types do not fit together.
        """

    @abstractmethod
    def pixelate(self, blocks: int) -> None:
        """Replace the whole frame by at most ``blocks`` block averages along its longer side."""

    @abstractmethod
    def blacken(self) -> None:
        """Replace the whole frame by black."""

    @abstractmethod
    def outline(self, box: NDArray[np.float64]) -> None:
        """Draw the border of a box (4,), x0 y0 x1 y1 pixels, for looking at what was tracked."""

    @abstractmethod
    def to_av(self) -> Any:
        """The frame as the encoder takes it (``av.VideoFrame``)."""
