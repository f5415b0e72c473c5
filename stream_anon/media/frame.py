"""One decoded frame, behind the verbs that everything else uses.

A frame lies on a device. What ``thumbnail``, ``luma`` and ``crops`` give lies in the host's memory.
Only ``crops_of`` can leave its crops where the frame is, for a method that works there: arrays of
that device that keep NumPy's interface and the DLPack protocol (CuPy's do). What is pasted may lie
on either side. Annotations name NumPy's type for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.regions import FrameKey

Pixels = NDArray[np.uint8]
Transforms = NDArray[np.float64]
Owners = NDArray[np.intp]
"""(n,): to which of several frames each of n things belongs."""


class Frame(ABC):
    """A decoded frame on some device: read by thumbnails and crops, changed by paste.

    Attributes:
        stream: index of the video stream in its source.
        index: position of the frame in presentation order within the stream, from 0. It counts
            frames of the source, so numbers are missing where frames were dropped on purpose.
        pts: presentation time in units of ``time_base``.
        time_base: seconds per unit of ``pts``.
        rate: frames a second, as the stream announces them; real times are in ``pts``.
        width: luma samples per row, as decoded, before rotation.
        height: luma rows, likewise.
        rotation: degrees counter-clockwise at which players show the frame, as its display
            matrix says; 0, 90, 180 or 270 but for odd files.
        device: where the planes lie: ``cpu``, or ``cuda:N``.
        corrupt: the decoder flagged the frame as damaged.

    The frame is patched in place. It is made writable before the first paste, since
    the decoder may still predict later frames from the same memory.
    """

    stream: int
    index: int
    pts: int
    time_base: Fraction
    rate: Fraction
    width: int
    height: int
    rotation: int
    device: str
    corrupt: bool

    @property
    def key(self) -> FrameKey:
        """Which frame it is: what its regions are matched by."""
        return FrameKey(str(self.stream), self.index, self.pts)

    @property
    def quarter_turns(self) -> int:
        """Quarter turns, counter-clockwise, 0 to 3, that make the frame upright."""
        return round(self.rotation / 90) % 4

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
        """Every ``step``-th luma sample of every ``step``-th row, 8 bit; for cuts and motion.

        Always in the host's memory. It may be a view: whoever keeps it, copies it.
        """

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
            (n, size, size, 3) uint8 RGB; area outside the frame repeats
            its border.
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

    def shares(self, kernels: object) -> bool:
        """Whether it lies where these kernels work, so that its crops may stay there."""
        return False

    def goes_with(self, other: Frame) -> bool:
        """Whether ``crops_of`` and ``paste_into`` gain something by taking both at once."""
        return False

    def crops_of(
        self, frames: Sequence[Frame], owners: Owners, transforms: Transforms, size: int,
        extent: float, *, resident: bool = False,
    ) -> Pixels:  # fmt: skip
        """Crops of several frames, all of which go with this one.

        Args:
            frames: among which this one is.
            owners: (n,), to which of them each crop belongs.
            transforms, size, extent: as for ``crops``.
            resident: leave the crops on the device; otherwise they are in the host's memory.
        """
        out = np.empty((len(transforms), size, size, 3), np.uint8)
        for n, frame in enumerate(frames):
            own = owners == n
            if own.any():
                out[own] = frame.crops(transforms[own], size, extent)
        return out

    def paste_into(
        self, frames: Sequence[Frame], owners: Owners, crops: Pixels, masks: Pixels,
        transforms: Transforms, extent: float,
    ) -> None:  # fmt: skip
        """Paste into several frames; arguments as for ``crops_of`` and ``paste``."""
        for n, frame in enumerate(frames):
            own = owners == n
            if own.any():
                frame.paste(crops[own], masks[own], transforms[own], extent)

    def finish(self) -> None:  # noqa: B027 - a frame in the host's memory is where it must be
        """Nothing more is painted: the way to the encoder may begin, before anybody waits."""

    def detach(self) -> Frame:
        """This frame outside of the decoder's pool of surfaces; whatever waits is detached.

        A hardware decoder stalls, or overwrites, when its few surfaces are held. The frame that
        was asked must not be used afterwards; it may be the one that is returned, which is right
        where the pool grows as it is needed, as in the host's memory.
        """
        return self

    @abstractmethod
    def to_av(self) -> Any:
        """The frame as the encoder takes it (``av.VideoFrame``)."""

    def encodable(self, formats: Collection[str]) -> Any:
        """The frame in whichever of these formats takes the fewest copies, else as ``to_av``.

        Args:
            formats: that the encoder takes beside the planar one: ``nv12``, ``p010le`` in host
                memory, ``cuda`` on the card.
        """
        return self.to_av()
