"""The contract that every detector keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.types import Face

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class View(Protocol):
    """What a detector needs of a frame."""

    @property
    def width(self) -> int:
        """Luma samples per row."""

    @property
    def height(self) -> int:
        """Luma rows."""

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame scaled to (height, width, 3) uint8 BGR."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a detector saw.

    Attributes:
        faces: best first.
        areas: (n, 4) float64, x0 y0 x1 y1 in pixels of the frame: the parts in which every
            face was looked for, with edges beyond the frame's where they reach its border;
            None where it was all of the frame.
        glance: what ``Detector.glance`` found in other parts, and which.
    """

    faces: list[Face]
    areas: Array | None
    glance: tuple[list[Face], Array] | None = None

    @property
    def all_faces(self) -> list[Face]:
        """Those of the glance as well."""
        return self.faces if self.glance is None else [*self.faces, *self.glance[0]]


class Detector(ABC):
    """Finds faces in one frame. Keeps no state between frames."""

    name: ClassVar[str]

    @abstractmethod
    def detect(self, view: View, quarter_turns: int = 0) -> list[Face]:
        """All faces of a frame, best first.

        Args:
            view: the frame.
            quarter_turns: quarter turns, counter-clockwise, that make the frame upright for a
                viewer.

        Returns:
            Faces in pixels of the frame as it is stored, whatever ``quarter_turns`` is.

        Raises:
            DetectorFault: something was found that is no face.
            ModelError: a network cannot be run.
        """

    def look(self, view: View, quarter_turns: int = 0, regions: Array | None = None) -> Look:
        """Look for the faces in parts of a frame, or in all of it where that is cheaper.

        Args:
            view: the frame.
            quarter_turns: as of ``detect``.
            regions: (n, 4) float64, x0 y0 x1 y1 in pixels of the frame as it is stored, of what
                must be looked at; None for all of it.

        Raises:
            DetectorFault, ModelError: as from ``detect``.
        """
        return Look(self.detect(view, quarter_turns), None)

    def glance(self, view: View, quarter_turns: int, regions: Array, smallest: float) -> Look:
        """Look in parts of a frame for large faces only, where that is cheaper than ``look``.

        Args:
            view: the frame.
            quarter_turns: as of ``detect``.
            regions: as of ``look``.
            smallest: side in pixels from which faces must be found.

        Raises:
            DetectorFault, ModelError: as from ``detect``.
        """
        return self.look(view, quarter_turns, regions)
