"""The gate: the only place where a picture is cleared for an encoder.

What a picture needs before it may leave is decided here and nowhere else. The compositor is
handed a picture together with the faces that are known to be in it; it paints them, looks at
what it painted, and steps down the ladder where that is not good enough:

    the chosen method -> solid cover of the grown face
        -> whole picture pixelated, what is known solidly covered -> black

Whatever is raised on the way, by a method or by a picture's own crop and paste, is a fault; the
next step covers what the last one may have left half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import FaultConfig
from stream_anon.errors import Fault, MethodFault, PictureFault, TrackerFault
from stream_anon.faces.face import TrackedFace
from stream_anon.geometry import FACE_FRAME, MASK_CENTRE, MASK_SEMI_AXES, apply, mask_radius
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.fill import Fill
from stream_anon.methods.masks import at_least_minimum, core_mask
from stream_anon.pipeline.frames import Frames, subject_of
from stream_anon.pipeline.likeness import OldFaces
from stream_anon.video.cleared import Cleared, Rung, claim_seal
from stream_anon.video.picture import Picture

log = logging.getLogger(__name__)

COVER_GROWTH = 1.25
"""The solid cover is larger than the method's mask by this factor."""

EDGE_REACH = 1.25
"""Radius of the widest mask that a method paints with, in minimum masks."""

PIXELATED_BLOCKS = 4
"""Blocks along the longer side of a picture that is pixelated whole, and so at most across any face
that it could hold: upright, lying, of a portrait or larger than the picture. At 12 blocks across a
recogniser still names a quarter of the people."""

FARTHEST = 1.0
"""Gap between a face's box and the picture, in the box's longer sides, from which the box makes no
sense: a tracker drops a face that has left the picture."""

LEAST_SIDE = 0.5
"""Side of a face's box in pixels below which it makes no sense."""

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
    """

    def __init__(self, method: Method, fault: FaultConfig, draw_boxes: bool = False) -> None:
        self.method = method
        self.steps = Steps()
        self._fault = fault
        self._draw_boxes = draw_boxes
        self._cover = Fill(slope=True)
        self._frames = Frames(method)
        self._covered_before: dict[int, frozenset[int]] = {}

    def clear(
        self, picture: Picture, faces: Sequence[TrackedFace], doubt: Fault | None = None
    ) -> Cleared:
        """Make a picture safe to show.

        Args:
            picture: as decoded; it is changed in place and must not be used afterwards.
            faces: every face that is known or feared to be in it. A place that makes no sense is
                a doubt about the whole picture.
            doubt: why the faces of this picture are not known, if they are not.

        Raises:
            Fault: a part failed and the policy is to stop.
        """
        if picture.corrupt and doubt is None:
            doubt = PictureFault(f"the picture at {picture.seconds:.3f} s is damaged")
        if doubt is None:
            doubt = misplaced(picture, faces)
        if doubt is not None:
            self._stop_or_log(doubt)
            return self._whole(picture, faces, str(doubt))
        try:
            self._paint(picture, faces)
        except Exception as error:  # noqa: BLE001 - raised as a fault, or left by the next step
            fault = error
            if not isinstance(fault, Fault):
                fault = PictureFault(
                    f"the picture at {picture.seconds:.3f} s could not be painted: {_cause(error)}"
                )
                fault.__cause__ = error
            self._stop_or_log(fault)
            return self._covered(picture, faces, str(fault))
        return self._pass(picture, faces, Rung.METHOD)

    def end(self, tracks: Sequence[int]) -> None:
        """Tracks have ended: the method drops what it kept for them.

        Raises:
            MethodFault: it could not, under either policy: what it keeps may be a key.
        """
        failed: Exception | None = None
        for track in tracks:
            self._frames.forget(track)
            try:
                self.method.forget(track)
            except Exception as error:  # noqa: BLE001 - raised below, when all have been told
                failed = error
        if failed is not None:
            name = self.method.name
            raise MethodFault(f"method {name} kept a track: {_cause(failed)}") from failed

    def _pass(self, picture: Picture, faces: Sequence[TrackedFace], rung: Rung) -> Cleared:
        if self._draw_boxes:
            for face in faces:
                try:
                    picture.outline(face.box)
                except Exception as error:  # noqa: BLE001 - a line that is missing shows nobody
                    log.warning("a box could not be outlined: %s", _cause(error))
        return Cleared(picture, tuple(face.track for face in faces), rung, _SEAL)

    def _stop_or_log(self, fault: Fault) -> None:
        if self._fault.policy == "stop":
            raise fault
        log.warning("%s; stepping down", fault)

    def _paint(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        covered_before = self._covered_before.pop(picture.stream, frozenset())
        if not faces:
            return
        try:
            transforms, subjects = self._frames.of(picture, faces, covered_before)
        except Exception as error:
            raise MethodFault(f"the faces' frames failed: {_cause(error)}") from error
        size = self.method.crop_size
        crops = picture.crops(transforms, size, FACE_FRAME)
        # Before the method has them: nothing it does to its crops can change what is compared.
        old = OldFaces(crops)
        crops.setflags(write=False)
        rendered = self._render(crops, subjects)
        masks = at_least_minimum(rendered.masks, len(faces))
        rejected = old.shown_in(rendered.crops)
        if rejected.any():
            self.steps.count_faces(int(rejected.sum()), "the new face was too like the old one")
        if rendered.declined is not None:
            declined = rendered.declined & ~rejected
            if declined.any():
                self.steps.count_faces(int(declined.sum()), f"not fit for {self.method.name}")
            rejected = rejected | declined
        self._covered_before[picture.stream] = frozenset(
            face.track for face, bad in zip(faces, rejected, strict=True) if bad
        )
        good = np.flatnonzero(~rejected)
        if len(good):
            picture.paste(rendered.crops[good], masks[good], transforms[good], FACE_FRAME)
        if rejected.any():
            # After the others: a cover must not be painted over by its neighbour's soft edge.
            self._fill(picture, [face for face, bad in zip(faces, rejected, strict=True) if bad])
        if self.method.opaque:
            # A neighbour's soft edge may carry what lies around it: another face, as it was. Nor
            # should a neighbour's generous cover hide a face that needs none.
            outer = np.stack([grown(face.transform, COVER_GROWTH) for face in faces])
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
        for face in faces:
            # Each on its own: one that cannot be painted must not leave the others open.
            try:
                self._fill(picture, [face])
            except Exception as error:  # noqa: BLE001 - the whole picture is pixelated next
                log.warning("a face could not be covered: %s", _cause(error))
        return self._step(
            picture,
            faces,
            reason,
            Rung.PIXELATED,
            lambda: picture.pixelate(PIXELATED_BLOCKS),
            self._black,
        )

    def _black(self, picture: Picture, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        try:
            picture.blacken()
        except Exception as error:
            raise PictureFault(
                f"the picture at {picture.seconds:.3f} s could not be blackened: {_cause(error)}"
            ) from error
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


def misplaced(picture: Picture, faces: Sequence[TrackedFace]) -> TrackerFault | None:
    """What makes no sense about where faces are said to be, or None.

    A place that is not finite, has no area, lies far outside the picture, or whose transform puts
    the mask elsewhere would be painted nowhere, and nobody would notice.
    """
    size = np.array([picture.width, picture.height], np.float64)
    for face in faces:
        try:
            wrong = _wrong_place(face, size)
        except Exception as error:  # noqa: BLE001 - of the wrong type or shape, say
            wrong = f"cannot be read ({_cause(error)})"
        if wrong is not None:
            return TrackerFault(f"the place of a face at {picture.seconds:.3f} s {wrong}")
    return None


def _wrong_place(face: TrackedFace, size: NDArray[np.float64]) -> str | None:
    box, transform, landmarks = face.box, face.transform, face.landmarks
    if box.shape != (4,) or transform.shape != (2, 3):
        return f"has shapes {box.shape} and {transform.shape}"
    finite = np.isfinite(box).all() and np.isfinite(transform).all()
    if not finite or not (landmarks is None or np.isfinite(landmarks).all()):
        return "is not finite"
    low, high = box[:2], box[2:]
    side = float((high - low).max())
    if not ((high - low) >= LEAST_SIDE).all():
        return "has no area"
    if max(float((low - size).max()), float((-high).max())) > FARTHEST * side:
        return "lies far outside the picture"
    middle = mask_radius(apply(transform, 0.5 * (low + high)[None]))[0]
    flat = abs(float(np.linalg.det(transform[:, :2]))) < 1e-9
    if flat or not middle <= 1.0:
        return "does not lie under its mask"
    return None


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


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
