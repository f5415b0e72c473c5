"""The second pair of eyes: compares an original frame with the one that is to be released.

A face counts as unchanged when three things hold:

1. it is found in the original: by a detector of another make than the one that analysed, at a low
   threshold, or by a third one, which may be of the same make, at a higher one;
2. its place looks the same in the output (``likeness``);
3. in the output, enlarged, a face is still seen there: by the other of the two as well, or by the
   one that found it with confidence. A place that the analysing make is sure of needs no such
   look: the run should have painted it, face or not.

Two find more than one: each is blind to some people, and what broke below the detector hides
nobody from the one that analysed.

The second rule lets a new face pass, the third one lions on coats of arms. The verifier knows
nothing of how the output was made: neither tracks nor boxes reach it, but for those of persons whom
an edit has left visible on purpose.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.detection.blazeface import BlazeFace
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.suppression import OVERLAP, overlaps
from stream_anon.detection.types import Face
from stream_anon.detection.yunet import YuNet
from stream_anon.errors import DetectorFault
from stream_anon.media.frame import Frame
from stream_anon.models import registry
from stream_anon.verification.likeness import same_shares

KINDS: dict[str, type[NetworkDetector]] = {
    kind.name: kind for kind in (YuNet, BlazeFace, CenterFace)
}
"""The most able second look first; CenterFace analyses by default."""

OPEN = 0.7
"""Share of a place's contrast that must be the same for the place to count as unchanged."""

SMALLEST = 0.8
"""Faces below this share of the smallest one that the run was to find are none of its failures."""

ZOOM, SIDE = 3.0, 192
"""The place is shown again with so many times its size around it, in so many pixels."""

THIRD = 0.4
"""Score from which it counts what the third detector sees in the original as a face. What it sees
below may be what the run saw as well, took for nothing and left as it was."""

BELIEVED, UNTOUCHED = 0.5, 0.85
"""Score from which a find of the analysing make must have been painted, where so much of the place
is the same: half a face at the frame's border, enlarged, is seen by nobody again. A face that
fills the frame is painted in places only, hair and all."""

SURE = 0.9
"""Score from which the one that found a face is believed alone about the enlarged place."""

AGREED = 0.35
"""Score from which the other one confirms it."""

FAINT = 0.3
"""Score in the whole frame below which a find needs more than that: the other one must see a face
there by ``CLEARLY``, or the one that found it must see it again by ``AGAIN``. Hands before a
painted face, enlarged, look like another."""

CLEARLY, AGAIN = 0.7, 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in one pair of frames.

    Attributes:
        faces: found in the original.
        unchanged: of these, open in the output.
    """

    faces: int
    unchanged: int


class Verifier:
    """Compares pairs of frames; keeps nothing of them.

    Args:
        config: of the check.
        analysed: name of the detector that analysed.
        detector: its configuration, for the smallest face and the arithmetic.
        models_dir: folder with weights.

    Raises:
        ModelError: the second detector's weights are missing and cannot be fetched.
    """

    def __init__(
        self,
        config: VerifyConfig,
        analysed: str,
        detector: DetectorConfig | None = None,
        models_dir: Path | None = None,
    ) -> None:
        base = detector or DetectorConfig()
        if not base.threads:
            # The run is over: nothing else wants the processor.
            base = base.model_copy(update={"threads": len(os.sched_getaffinity(0))})
        self._smallest = base.smallest_face
        self._analysed = analysed
        self._names = choose(config.detector, analysed, models_dir)
        close = base.model_copy(
            update={"threshold": 0.05, "keep_threshold": 0.05, "smallest_face": 20.0}
        )
        self._eyes: list[_Eye] = []
        for name, threshold in zip(self._names, (config.threshold, THIRD), strict=True):
            changes = {"threshold": threshold, "keep_threshold": threshold}
            wide = KINDS[name](base.model_copy(update=changes), models_dir)
            near = copy.copy(wide)  # with the same engines
            near.config = close
            self._eyes.append(_Eye(wide, near))

    @property
    def detector(self) -> str:
        """Name of the second detector."""
        return self._names[0]

    def check(
        self,
        original: Frame,
        output: Frame,
        quarter_turns: int = 0,
        visible: Sequence[tuple[float, float, float, float]] = (),
    ) -> Look:
        """Compare two frames of the same moment.

        Args:
            original: as it was read.
            output: as it is to be released, of the same size.
            quarter_turns: quarter turns, counter-clockwise, that make the frames upright.
            visible: boxes (x0, y0, x1, y1), pixels; a face that lies in one by half or more may be
                seen and does not count.

        Raises:
            DetectorFault: a network answered with something that describes no face.
            ValueError: the frames differ in size.
        """
        boxes, unchanged = self.places(original, output, quarter_turns, visible)
        return Look(_people(boxes), _people(boxes[unchanged]))

    def places(
        self,
        original: Frame,
        output: Frame,
        quarter_turns: int = 0,
        visible: Sequence[tuple[float, float, float, float]] = (),
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """What ``check`` counts, with its places: for measurements, and no report.

        Args and errors: as of ``check``.

        Returns:
            (n, 4) x0 y0 x1 y1 in pixels of what was found in the original, by either detector, so
            that a face may be there twice; and (n,) whether it is open in the output.
        """
        if (original.width, original.height) != (output.width, output.height):
            raise ValueError("the frames differ in size")
        found: list[tuple[Face, int]] = []
        for number, eye in enumerate(self._eyes):
            found += [
                (face, number)
                for face in eye.wide.detect(original, quarter_turns)
                if face.size >= SMALLEST * self._smallest
                and not any(_inside(face.box, box) for box in visible)
            ]
        if not found:
            return np.empty((0, 4)), np.empty(0, np.bool_)
        boxes = np.stack([face.box for face, _ in found])
        same = same_shares(original, output, boxes).tolist()
        open_ = [
            share >= OPEN and self._seen(output, face, number, quarter_turns, share)
            for (face, number), share in zip(found, same, strict=True)
        ]
        return boxes, np.array(open_, np.bool_)

    def _seen(
        self, output: Frame, face: Face, finder: int, quarter_turns: int, same: float
    ) -> bool:
        """Whether a face is still seen in the output at the unchanged place of one."""
        analysing = self._names[finder] == self._analysed and same >= UNTOUCHED
        if analysing and face.score >= BELIEVED and face.size >= self._smallest:
            return True
        view = _Place(output, face.box)
        one, other = self._eyes[finder].near, self._eyes[1 - finder].near
        confirmed = _strength(other, view, quarter_turns)
        if confirmed >= (AGREED if face.score >= FAINT else CLEARLY):
            return True
        again = _strength(one, view, quarter_turns)
        return again >= SURE or (confirmed >= AGREED and again >= AGAIN)


@dataclass(frozen=True, slots=True)
class _Eye:
    """A detector for whole frames, and the same for one place of a frame, enlarged."""

    wide: NetworkDetector
    near: NetworkDetector


def choose(wanted: str, analysed: str, models_dir: Path | None = None) -> tuple[str, str]:
    """Names of the second and the third detector.

    ``auto`` takes YuNet where its file is at hand, since it sees more, else BlazeFace, which can be
    fetched from a package index; never the one that analysed.
    """
    order = [name for name in KINDS if name != analysed]
    if wanted != "auto":
        second = wanted
    else:
        at_hand = [name for name in order if registry.verify(name, models_dir) == "ok"]
        second = at_hand[0] if at_hand else "blazeface"
    others = [name for name in ("centerface", "blazeface") if name != second]
    return second, others[0]


def _inside(face: NDArray[np.float64], box: tuple[float, float, float, float]) -> bool:
    """Whether half of a face's box, or more, lies in another box."""
    sides = np.minimum(face[2:], box[2:]) - np.maximum(face[:2], box[:2])
    return bool(sides.min() > 0 and sides.prod() >= 0.5 * (face[2:] - face[:2]).prod())


def reported(true: NDArray[np.float64], boxes: NDArray[np.float64], least: float) -> int:
    """How many of (n, 4) true boxes share ``least`` (IoU) or more with one of (m, 4) boxes."""
    return int(np.count_nonzero((overlaps(true, boxes) >= least).any(axis=1)))


def _people(boxes: NDArray[np.float64]) -> int:
    """How many faces (n, 4) boxes are, of which two detectors may have found each."""
    kept: list[NDArray[np.float64]] = []
    for box in boxes:
        if not kept or float(overlaps(box[None], np.stack(kept)).max()) < OVERLAP:
            kept.append(box)
    return len(kept)


class _Place:
    """A place of a frame with what lies around it, as a detector wants to see it."""

    def __init__(self, frame: Frame, box: NDArray[np.float64]) -> None:
        centre = (box[:2] + box[2:]) / 2
        scale = SIDE / (ZOOM * float((box[2:] - box[:2]).max()))
        shift = (SIDE - 1) / 2 - scale * centre
        transform = np.array([[[scale, 0.0, shift[0]], [0.0, scale, shift[1]]]])
        self._pixels = frame.crops(transform, SIDE, float(SIDE))[0]
        self.width = self.height = SIDE

    def thumbnail(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR."""
        pixels = self._pixels
        if (width, height) != (self.width, self.height):
            how = cv2.INTER_AREA if width < self.width else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
        return np.ascontiguousarray(pixels[..., ::-1])


def _strength(detector: NetworkDetector, view: _Place, quarter_turns: int) -> float:
    """Best score of a face in the middle of a place and about as large as expected."""
    expected, best = SIDE / ZOOM, 0.0
    for face in detector.detect(view, quarter_turns):
        middle = (face.box[:2] + face.box[2:]) / 2
        side = float((face.box[2:] - face.box[:2]).max())
        near = float(np.abs(middle - SIDE / 2).max()) <= 0.4 * expected
        if near and 0.5 * expected <= side <= 2.0 * expected:
            best = max(best, face.score)
    if not np.isfinite(best):
        raise DetectorFault(f"{detector.name} answered with a score that is not finite")
    return best
