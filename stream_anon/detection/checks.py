"""What is asked of a detector's answer, whoever wrote the detector."""

from __future__ import annotations

import numpy as np

from stream_anon.detection.base import Look
from stream_anon.detection.types import Face
from stream_anon.errors import DetectorFault

FARTHEST = 4.0
"""Longer sides of the frame beyond which nothing of it can be."""


def check_look(look: object, width: int, height: int, name: str) -> None:
    """Refuse what is no answer about a frame of this size.

    Raises:
        DetectorFault: it is no ``Look`` of faces, or one of them lies far outside.
    """
    if not isinstance(look, Look):
        raise DetectorFault(f"{name} answered with a {type(look).__name__}, not with a Look")
    check_faces(look.faces, width, height, name)
    areas = look.areas
    if areas is not None and not (
        isinstance(areas, np.ndarray) and areas.ndim == 2 and areas.shape[1] == 4
    ):
        raise DetectorFault(f"{name} says that it looked in what are no areas")


def check_faces(faces: object, width: int, height: int, name: str) -> None:
    """Likewise of what a detector found.

    Raises:
        DetectorFault: as from ``check_look``.
    """
    if not isinstance(faces, list | tuple):
        raise DetectorFault(f"{name} answered with a {type(faces).__name__}, not with a list")
    farthest = FARTHEST * max(width, height)
    for face in faces:
        if not isinstance(face, Face):
            raise DetectorFault(f"{name} answered with a {type(face).__name__}, not with a Face")
        # Finite, with an area and a score: a Face cannot be made otherwise.
        if (np.abs(face.box) > farthest).any():
            raise DetectorFault(f"{name} answered with a place that lies far outside the frame")
