"""The gate: the only place where a picture is cleared for an encoder.

What a picture needs before it may leave is decided here and nowhere else. The compositor is
handed a picture together with the faces that are known to be in it; it paints them, looks at
what it painted, and steps down the ladder where that is not good enough:

    the chosen method -> solid cover of the grown face -> whole picture pixelated -> black
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import FaultConfig
from stream_anon.errors import Fault, MethodFault, PictureFault
from stream_anon.faces.face import TrackedFace
from stream_anon.geometry import FACE_FRAME, MASK_CENTRE, MASK_SEMI_AXES
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.fill import Fill
from stream_anon.methods.masks import at_least_minimum, core_mask, minimum_interior
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.methods.soft_cover import SoftCover
from stream_anon.pipeline.frames import Frames, subject_of
from stream_anon.video.cleared import Cleared, Rung, claim_seal
from stream_anon.video.picture import Picture

log = logging.getLogger(__name__)

UNCHANGED_LEVELS = 3.0
"""A new face that differs from the old one by less than this, on the mean over the minimum
ellipse of coarse averages, shows the old one."""

COARSE = 16
"""Side at which old and new are compared: cells of eight face-frame units, so that fine noise on
top of an old face does not count as a change."""

COVER_GROWTH = 1.25
"""The solid cover is larger than the method's mask by this factor."""

EDGE_REACH = 1.25
"""Radius of the widest mask that a method paints with, in minimum masks."""

PIXELATED_BLOCKS = 24
"""Blocks along the longer side of a picture that is pixelated whole."""

_SEAL = claim_seal()


@dataclass(slots=True)
class Steps:
    """How often, and why, the ladder was taken.

    Attributes:
        pictures: pictures that left on each rung below the method.
        faces: faces that took the solid cover instead of the method.
        reasons: one line each, with how often it was the reason.
    """

    pictures: dict[Rung, int] = field(default_factory=dict)
    faces: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, rung: Rung, reason: str) -> None:
        """A whole picture took a step."""
        self.pictures[rung] = self.pictures.get(rung, 0) + 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def count_faces(self, faces: int, reason: str) -> None:
        """Faces within a picture took a step."""
        self.faces += faces
        self.reasons[reason] = self.reasons.get(reason, 0) + faces


class Compositor:
    """Paints faces and clears pictures.

    Args:
        method: what happens to a face.
        fault: whether a fault ends the run or steps down.
        draw_boxes: outline what was painted, to see what was tracked.
        models_dir: where networks are looked for first.
    """

    def __init__(
        self,
        method: Method,
        fault: FaultConfig,
        draw_boxes: bool = False,
        models_dir: Path | None = None,
    ) -> None:
        self.method = method
        self.steps = Steps()
        self._fault = fault
        self._draw_boxes = draw_boxes
        self._cover = Fill(slope=True)
        self._soft = SoftCover()
        self._frames = Frames(method, models_dir)
        self._covered_before: frozenset[int] = frozenset()

    def clear(
        self, picture: Picture, faces: Sequence[TrackedFace], doubt: Fault | None = None
    ) -> Cleared:
        """Make a picture safe to show.

        Args:
            picture: as decoded; it is changed in place and must not be used afterwards.
            faces: every face that is known or feared to be in it.
            doubt: why the faces of this picture are not known, if they are not.

        Raises:
            Fault: a part failed and the policy is to stop.
        """
        if picture.corrupt and doubt is None:
            doubt = PictureFault(f"the picture at {picture.seconds:.3f} s is damaged")
        if doubt is not None:
            self._stop_or_log(doubt)
            return self._whole(picture, faces, str(doubt))
        try:
            self._paint(picture, faces)
        except Fault as fault:
            self._stop_or_log(fault)
            return self._covered(picture, faces, str(fault))
        return self._pass(picture, faces, Rung.METHOD)

    def end(self, tracks: Sequence[int]) -> None:
        """Tracks have ended: the method drops what it kept for them."""
        for track in tracks:
            self.method.forget(track)
            self._frames.forget(track)

    def _pass(self, picture: Picture, faces: Sequence[TrackedFace], rung: Rung) -> Cleared:
        if self._draw_boxes:
            for face in faces:
                picture.outline(face.box)
        return Cleared(picture, tuple(face.track for face in faces), rung, _SEAL)

    def _stop_or_log(self, fault: Fault) -> None:
        if self._fault.policy == "stop":
            raise fault
        log.warning("%s; stepping down", fault)

    def _paint(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        if not faces:
            return
        try:
            transforms, subjects = self._frames.of(picture, faces, self._covered_before)
        except Exception as error:
            raise MethodFault(f"the faces' frames failed: {_cause(error)}") from error
        size = self.method.crop_size
        crops = picture.crops(transforms, size, FACE_FRAME)
        rendered = self._render(crops, subjects)
        masks = at_least_minimum(rendered.masks, len(faces))
        failed = unchanged(crops, rendered.crops)
        if failed.any():
            self.steps.count_faces(int(failed.sum()), "the new face was too like the old one")
        declined = np.zeros(len(faces), np.bool_)
        if rendered.declined is not None:
            declined = rendered.declined & ~failed
            if declined.any():
                self.steps.count_faces(int(declined.sum()), f"not fit for {self.method.name}")
        rejected = failed | declined
        self._covered_before = frozenset(
            face.track for face, bad in zip(faces, rejected, strict=True) if bad
        )
        good = np.flatnonzero(~rejected)
        if len(good):
            picture.paste(rendered.crops[good], masks[good], transforms[good], FACE_FRAME)
        # After the others: a cover must not be painted over by its neighbour's soft edge.
        if declined.any():
            self._soften(picture, [face for face, bad in zip(faces, declined, strict=True) if bad])
        if failed.any():
            self._fill(picture, [face for face, bad in zip(faces, failed, strict=True) if bad])
        if self.method.opaque:
            # A neighbour's soft edge may carry what lies around it: another face, as it was. Nor
            # should a neighbour's generous cover hide a face that needs none.
            outer = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
            painted = np.where(rejected[:, None, None], outer, transforms)
            inner = good[crowded(transforms, painted)[good]]
            if len(inner):
                masks = np.broadcast_to(core_mask(), (len(inner), *core_mask().shape))
                picture.paste(rendered.crops[inner], masks, transforms[inner], FACE_FRAME)

    def _render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        try:
            rendered = self.method.render(crops, subjects)
        except Fault:
            raise
        except Exception as error:
            raise MethodFault(f"method {self.method.name} failed: {_cause(error)}") from error
        check_rendered(rendered, len(subjects), self.method.name)
        return rendered

    def _soften(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        """Cover what the method declined, softly; a fault on the way is a fault of the method."""
        transforms = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
        crops = picture.crops(transforms, self._soft.crop_size, FACE_FRAME)
        subjects = [
            subject_of(face, picture.seconds, transform, face.landmarks)
            for face, transform in zip(faces, transforms, strict=True)
        ]
        rendered = self._soft.render(crops, subjects)
        if rendered.masks is None:
            raise MethodFault("the soft cover answered with no masks")
        picture.paste(rendered.crops, rendered.masks, transforms, FACE_FRAME)

    def _fill(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        transforms = np.stack([grown(face.transform, COVER_GROWTH) for face in faces])
        crops = picture.crops(transforms, self._cover.crop_size, FACE_FRAME)
        subjects = [
            subject_of(face, picture.seconds, transform, face.landmarks)
            for face, transform in zip(faces, transforms, strict=True)
        ]
        rendered = self._cover.render(crops, subjects)
        masks = at_least_minimum(None, len(faces))
        picture.paste(rendered.crops, masks, transforms, FACE_FRAME)

    def _covered(self, picture: Picture, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        return self._step(
            picture, faces, reason, Rung.FILL, lambda: self._fill(picture, faces), self._whole
        )

    def _whole(self, picture: Picture, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        return self._step(
            picture,
            faces,
            reason,
            Rung.PIXELATED,
            lambda: picture.pixelate(PIXELATED_BLOCKS),
            self._black,
        )

    def _black(self, picture: Picture, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        picture.blacken()
        self.steps.count(Rung.BLACK, reason)
        return self._pass(picture, (), Rung.BLACK)

    def _step(
        self,
        picture: Picture,
        faces: Sequence[TrackedFace],
        reason: str,
        rung: Rung,
        action: Callable[[], None],
        below: Callable[[Picture, Sequence[TrackedFace], str], Cleared],
    ) -> Cleared:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a step of the ladder that fails is left by the next
            log.warning("step %s failed: %s", rung.name.lower(), _cause(error))
            return below(picture, faces, reason)
        self.steps.count(rung, reason)
        return self._pass(picture, faces, rung)


def grown(transform: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """A (2, 3) transform whose mask is larger in the picture by ``factor``, about its centre."""
    centre = np.array(MASK_CENTRE)
    result = transform / factor
    result[:, 2] += centre * (1.0 - 1.0 / factor)
    return result


def crowded(own: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which faces' masks, soft edges included, may touch another's: n transforms twice, to (n,)."""
    reach = EDGE_REACH * max(MASK_SEMI_AXES)
    centre = np.array(MASK_CENTRE)

    def circles(frames: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        back = np.linalg.inv(frames[:, :, :2])
        middle = np.einsum("nij,nj->ni", back, centre - frames[:, :, 2])
        return middle, reach * np.sqrt(np.abs(np.linalg.det(back)))

    (here, radius), (there, far) = circles(own), circles(others)
    gap = np.linalg.norm(here[:, None] - there[None], axis=2) - radius[:, None] - far[None]
    np.fill_diagonal(gap, np.inf)
    return np.asarray((gap < 0).any(axis=1))


def check_rendered(rendered: object, count: int, name: str) -> None:
    """Hold a method's answer against its contract.

    Raises:
        MethodFault: a shape, type or number does not fit.
    """
    if not isinstance(rendered, Rendered):
        raise MethodFault(f"method {name} answered with {type(rendered).__name__}")
    crops, masks, declined = rendered.crops, rendered.masks, rendered.declined
    square = crops.ndim == 4 and crops.shape[0] == count and crops.shape[1] == crops.shape[2]
    if not square or crops.shape[3] != 3 or crops.dtype != np.uint8 or crops.shape[1] == 0:
        raise MethodFault(f"method {name} answered with crops {crops.shape} {crops.dtype}")
    if masks is not None and (
        masks.ndim != 3
        or masks.shape[0] != count
        or masks.shape[1] != masks.shape[2]
        or masks.shape[1] == 0
        or masks.dtype != np.uint8
    ):
        raise MethodFault(f"method {name} answered with masks {masks.shape} {masks.dtype}")
    if declined is not None and (declined.shape != (count,) or declined.dtype != np.bool_):
        raise MethodFault(f"method {name} answered with declined {declined.shape} {declined.dtype}")


def unchanged(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    """Which new faces still show the old one.

    Args:
        before: (n, s, s, 3) uint8.
        after: (n, t, t, 3) uint8, any other side.

    Returns:
        (n,) bool: the mean absolute change inside the minimum ellipse, between averages over
        cells of ``128 / COARSE`` units, is below ``UNCHANGED_LEVELS``. A flat face that a mosaic
        hardly changes is reported as well; the solid cover it then gets costs nothing.
    """
    if not len(before):
        return np.zeros(0, np.bool_)
    change = cv2.absdiff(_coarse(before), _coarse(after)).reshape(len(before), -1, 3)
    inside = change[:, np.flatnonzero(minimum_interior(COARSE))]
    return np.asarray(inside.mean(axis=(1, 2), dtype=np.float64) < UNCHANGED_LEVELS)


def _coarse(crops: Pixels) -> Pixels:
    """Averages of (n, s, s, 3) as one (n * COARSE, COARSE, 3) picture."""
    count, side = crops.shape[:2]
    if side % COARSE == 0:
        # Whole cells: one picture under the other, none reaches into the next.
        stack = crops.reshape(count * side, side, 3)
        size = (COARSE, count * COARSE)
        return np.asarray(cv2.resize(stack, size, interpolation=cv2.INTER_AREA), np.uint8)
    coarse = np.empty((count, COARSE, COARSE, 3), np.uint8)
    for crop, out in zip(crops, coarse, strict=True):
        cv2.resize(crop, (COARSE, COARSE), dst=out, interpolation=cv2.INTER_AREA)
    return coarse.reshape(count * COARSE, COARSE, 3)


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
