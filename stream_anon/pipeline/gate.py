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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import FaultConfig
from stream_anon.errors import (
    AnalysisFault,
    Fault,
    GateError,
    MethodFault,
    PictureFault,
)
from stream_anon.faces.face import TrackedFace
from stream_anon.geometry import FACE_FRAME, MASK_CENTRE, MASK_SEMI_AXES
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.fill import Fill
from stream_anon.methods.masks import core_mask
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.methods.soft_cover import SoftCover
from stream_anon.pipeline.analysis import key_of
from stream_anon.pipeline.checks import cause_of, check_rendered, misplaced
from stream_anon.pipeline.frames import Frames, subject_of
from stream_anon.pipeline.likeness import OldFaces
from stream_anon.pipeline.targets import TARGETS, grown, place
from stream_anon.regions import DRAWN_METHODS, FACE, Regions
from stream_anon.video.cleared import Cleared, Rung, claim_seal
from stream_anon.video.picture import Picture

log = logging.getLogger(__name__)

EDGE_REACH = 1.25
"""Radius of the widest mask that a method paints with, in minimum masks."""

PIXELATED_BLOCKS = 4
"""Blocks along the longer side of a picture that is pixelated whole, and so at most across any face
that it could hold: upright, lying, of a portrait or larger than the picture. At 12 blocks across a
recogniser still names a quarter of the people."""

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
        others: methods by name that single regions ask for.
        label: what the method paints; the rest is left to helpers, each with a method and label.
        models_dir: where networks are looked for first.
    """

    def __init__(
        self,
        method: Method,
        fault: FaultConfig,
        draw_boxes: bool = False,
        others: Mapping[str, Method] | None = None,
        label: str = FACE,
        models_dir: Path | None = None,
    ) -> None:
        self.method = method
        self.steps = Steps()
        self._label = label
        self._shape = TARGETS[label].shape
        self._others = dict(others or {})
        self._helpers: dict[tuple[str, str], Compositor] = {}
        self._fault = fault
        self._draw_boxes = draw_boxes
        self._cover = Fill(slope=True)
        self._soft = SoftCover()
        self._models_dir = models_dir
        self._frames = Frames(method, models_dir)
        self._covered_before: dict[int, frozenset[int]] = {}

    @property
    def methods(self) -> tuple[Method, ...]:
        """The run's method and those that single regions ask for."""
        return (self.method, *self._others.values())

    def paint(self, picture: Picture, regions: Regions, turns: int = 0) -> Cleared:
        """``clear`` from plain data: where analysis hands over to painting.

        Args:
            picture: as for ``clear``.
            regions: of this very picture.
            turns: quarter turns, counter-clockwise, that make the picture upright.

        Raises:
            GateError: the regions are those of another picture.
            Fault: a part failed, or it is not known what is in the picture, and the policy is to
                stop.
        """
        if regions.key != key_of(picture):
            raise GateError(f"{regions.key} came with {key_of(picture)}")
        doubt: Fault | None = None
        if regions.unknown is not None:
            doubt = AnalysisFault(regions.unknown)
            if self._fault.policy == "stop":
                where = f"frame {regions.key.index} of stream {regions.key.stream}"
                raise AnalysisFault(f"{where}: {regions.unknown}")
        faces: Sequence[TrackedFace] = ()
        try:
            faces = place(regions, turns)
        except Fault as fault:
            doubt = doubt or fault
        return self.clear(picture, faces, doubt)

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
                why = cause_of(error)
                fault = PictureFault(
                    f"the picture at {picture.seconds:.3f} s could not be painted: {why}"
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
        for helper in self._helpers.values():
            helper.end(tracks)
        failed: Exception | None = None
        for track in tracks:
            self._frames.forget(track)
            try:
                self.method.forget(track)
            except Exception as error:  # noqa: BLE001 - raised below, when all have been told
                failed = error
        if failed is not None:
            name = self.method.name
            raise MethodFault(f"method {name} kept a track: {cause_of(failed)}") from failed

    def _pass(self, picture: Picture, faces: Sequence[TrackedFace], rung: Rung) -> Cleared:
        if self._draw_boxes:
            for face in faces:
                try:
                    picture.outline(face.box)
                except Exception as error:  # noqa: BLE001 - a line that is missing shows nobody
                    log.warning("a box could not be outlined: %s", cause_of(error))
        return Cleared(picture, tuple(face.track for face in faces), rung, _SEAL)

    def _stop_or_log(self, fault: Fault) -> None:
        if self._fault.policy == "stop":
            raise fault
        log.warning("%s; stepping down", fault)

    def _paint(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        own = [face for face in faces if self._mine(face)]
        self._paint_own(picture, own)
        rest = [face for face in faces if not self._mine(face)]
        # Each helper takes its crops from what those before it painted: never a raw neighbour.
        for (label, name), group in groupby(sorted(rest, key=_kind), key=_kind):
            self._helper(label, name)._paint_own(picture, list(group))

    def _mine(self, face: TrackedFace) -> bool:
        return face.label == self._label and face.method in (None, self.method.name)

    def _helper(self, label: str, name: str) -> Compositor:
        """What paints one label by one method that is not the run's; counts into the same steps."""
        name = name or (self.method.name if label == FACE else self._cover.name)
        if (helper := self._helpers.get((label, name))) is None:
            known = {Fill.name: Fill(), **self._others, self.method.name: self.method}
            method = known.get(name)
            if method is None or (label != FACE and name not in DRAWN_METHODS):
                raise MethodFault(f"a {label} asks for the method {name}, which is not here")
            helper = Compositor(
                method, self._fault, label=label, models_dir=self._models_dir
            )
            helper.steps = self.steps
            self._helpers[label, name] = helper
        return helper

    def _paint_own(self, picture: Picture, faces: Sequence[TrackedFace]) -> None:
        covered_before = self._covered_before.pop(picture.stream, frozenset())
        if not faces:
            return
        try:
            transforms, subjects = self._frames.of(picture, faces, covered_before)
        except Exception as error:
            raise MethodFault(f"the faces' frames failed: {cause_of(error)}") from error
        size = self.method.crop_size
        crops = picture.crops(transforms, size, FACE_FRAME)
        # Before the method has them: nothing it does to its crops can change what is compared.
        old = OldFaces(crops)
        crops.setflags(write=False)
        rendered = self._render(crops, subjects)
        masks = self._shape.masks(rendered.masks, faces)
        failed = old.shown_in(rendered.crops)
        if failed.any():
            self.steps.count_faces(int(failed.sum()), "the new face was too like the old one")
        declined = np.zeros(len(faces), np.bool_)
        if rendered.declined is not None:
            declined = rendered.declined & ~failed
            if declined.any():
                self.steps.count_faces(int(declined.sum()), f"not fit for {self.method.name}")
        rejected = failed | declined
        self._covered_before[picture.stream] = frozenset(
            face.track for face, bad in zip(faces, rejected, strict=True) if bad
        )
        good = np.flatnonzero(~rejected)
        if len(good):
            picture.paste(rendered.crops[good], masks[good], transforms[good], FACE_FRAME)
        # After the others: a cover must not be painted over by its neighbour's soft edge.
        soft = declined & (self._label == FACE)
        if soft.any():
            self._soften(picture, [face for face, bad in zip(faces, soft, strict=True) if bad])
        if (rejected & ~soft).any():
            hard = rejected & ~soft
            self._fill(picture, [face for face, bad in zip(faces, hard, strict=True) if bad])
        if self.method.opaque and self._label == FACE:
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
            raise MethodFault(f"method {self.method.name} failed: {cause_of(error)}") from error
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
        for label, group in groupby(sorted(faces, key=_label), key=_label):
            alike = list(group)
            transforms, masks = TARGETS[label].shape.cover(alike)
            crops = picture.crops(transforms, self._cover.crop_size, FACE_FRAME)
            subjects = [
                subject_of(face, picture.seconds, transform, face.landmarks)
                for face, transform in zip(alike, transforms, strict=True)
            ]
            rendered = self._cover.render(crops, subjects)
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
                log.warning("a face could not be covered: %s", cause_of(error))
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
                f"the picture at {picture.seconds:.3f} s could not be blackened: {cause_of(error)}"
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
            log.warning("step %s failed: %s", rung.name.lower(), cause_of(error))
            return below(picture, faces, reason)
        self.steps.count(rung, reason)
        return self._pass(picture, faces, rung)


def _label(face: TrackedFace) -> str:
    return face.label


def _kind(face: TrackedFace) -> tuple[str, str]:
    """Faces before what was drawn by hand, since that lies on top."""
    return face.label, face.method or ""


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
