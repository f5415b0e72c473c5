"""Which faces a generator may be trusted with, and which of its answers are faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.alignment.mesh_measures import direction
from stream_anon.geometry import TEMPLATE, apply, scale_of, similarity
from stream_anon.methods.base import Pixels, Subject
from stream_anon.track_state import Part

WIDEST_TURN = 0.75
"""Nose off the middle of the eyes, in interocular distances, beyond which a face is in profile."""

SMALLEST_SPAN = 0.45
"""Distance of the eyes relative to the template, below which landmarks tell no frontal face."""

LARGEST_MISFIT = 9.0
"""Mean distance in aligned units between the aligned landmarks and the template."""

WIDEST_CROP = 2.05
"""Width of a crop against the plain alignment beyond which the face is too small in it."""

WIDEST_MESHED = 2.4
"""Likewise where a mesh says where in it the face is."""

LEAST_SCORE = 0.25
"""Confidence below which it is not sure enough that there is a face to be drawn."""

SURE = 0.8
"""Presence of a mesh along a track from which there is a face still, whatever the detector's
confidence in this frame: it may have looked at a blink or not at all. It must have been confident
once: a face's chin found as a second, smaller face has the mesh of the first."""

LEAST_PRESENCE = 0.35
"""Presence of a mesh along a track below which there is no face to be drawn: a coat of arms, the
back of a head. It never decides whether a face is covered."""

BACK = 0.6
"""Likewise from which a track that was declined is drawn again: one lucky look is not enough, or a
cover turns into a face for a moment."""

FURTHEST = 58.0
"""Turn in degrees of a mesh beyond which a face is in profile."""

SLACK = 1.15
"""A track that was declined must be better than the limits by this factor to come back, so
that it does not flicker between a new face and a cover."""

FLATTEST = 6.0
"""Standard deviation in levels inside the minimum ellipse, below which a frame shows no face."""


class EligibilityFilter:
    """Decides face by face, and remembers per track.

    Args:
        smallest: side of the face box in pixels.
    """

    def __init__(self, smallest: float) -> None:
        self._smallest = smallest
        self._declined: Part[bool] = Part()
        self._known: Part[bool] = Part()

    def declined(self, subjects: list[Subject]) -> NDArray[np.bool_]:
        """Which of the faces go to the next step of the ladder; (n,) bool."""
        return np.array([not self._fit(subject) for subject in subjects], np.bool_)

    def _fit(self, subject: Subject) -> bool:
        was = bool(self._declined.get(subject.state))
        slack, present = (SLACK, BACK) if was else (1.0, LEAST_PRESENCE)
        sure = subject.score >= LEAST_SCORE * slack
        if sure:
            self._known.put(subject.state, True)
        known = sure or bool(self._known.get(subject.state))
        fit = (
            subject.size >= self._smallest * slack
            and (sure or (known and (subject.presence or 0.0) >= SURE))
            and subject.landmarks is not None
            and (subject.presence is None or subject.presence >= present)
            and posed(subject.landmarks, slack, _turn(subject))
        )
        self._declined.put(subject.state, not fit)
        return fit


def _turn(subject: Subject) -> float | None:
    """Degrees by which a subject's mesh looks past the camera; None where it has none."""
    if subject.mesh is None:
        return None
    return direction(subject.mesh).turn


def posed(
    landmarks: NDArray[np.float64], slack: float = 1.0, turn: float | None = None
) -> bool:
    """Whether a face is turned no further than can be drawn.

    Args:
        landmarks: (5, 2) aligned units.
        slack: margin by which it must be turned less.
        turn: degrees, from a mesh; None judges by the landmarks alone.
    """
    eyes = landmarks[1] - landmarks[0]
    span = float(np.hypot(*eyes))
    try:
        aligning = similarity(landmarks)
    except ValueError:
        return False
    scale = scale_of(aligning)
    template = float(np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))
    if turn is not None:
        return scale <= WIDEST_MESHED / slack and turn <= FURTHEST / slack
    if scale > WIDEST_CROP / slack or span * scale < SMALLEST_SPAN * slack * template:
        return False
    along = eyes / span
    nose = landmarks[2] - 0.5 * (landmarks[0] + landmarks[1])
    if abs(float(nose @ along)) / span > WIDEST_TURN / slack:
        return False
    misfit = float(np.hypot(*(apply(aligning, landmarks) - TEMPLATE).T).mean())
    return misfit <= LARGEST_MISFIT / slack


def is_face(crops: Pixels) -> NDArray[np.bool_]:
    """Which crops show anything at all: (n, s, s, 3) uint8 to (n,) bool; black and flat do not."""
    step = max(1, crops.shape[1] // 64)
    inside = minimum_interior(crops.shape[1])[::step, ::step]
    seen = crops[:, ::step, ::step][:, inside].astype(np.float32).mean(axis=2)
    found: NDArray[np.bool_] = seen.std(axis=1) >= FLATTEST
    return found
