"""The gate: the only place where a frame is cleared for an encoder.

What a frame needs before it may leave is decided here and nowhere else. The compositor is
handed a frame together with the faces that are known to be in it; it paints them, looks at
what it painted, and steps down the ladder where that is not good enough:

    the chosen method -> solid cover of the grown face
        -> whole frame pixelated, what is known solidly covered -> black

Whatever is raised on the way, by a method or by a frame's own crop and paste, is a fault; the
next step covers what the last one may have left half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from stream_anon.alignment.masks import core_mask
from stream_anon.alignment.overlap import crowded
from stream_anon.config import FaultConfig
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import (
    AnalysisFault,
    Fault,
    FrameFault,
    GateError,
    MethodFault,
)
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.media.cleared import Cleared, FallbackLevel, claim_seal
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Method, Pixels, Rendered, Subject
from stream_anon.methods.fill import Fill
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.methods.soft_cover import SoftCover
from stream_anon.pipeline.counts import add
from stream_anon.pipeline.painting.checks import cause_of, check_rendered, misplaced
from stream_anon.pipeline.painting.face_stabilizer import FaceStabilizer, subject_of
from stream_anon.pipeline.painting.likeness import OldFaces
from stream_anon.pipeline.painting.targets import TARGETS, grown, place
from stream_anon.regions import DRAWN_METHODS, FACE, Regions

log = logging.getLogger(__name__)


PIXELATED_BLOCKS = 4
"""Blocks along the longer side of a frame that is pixelated whole, and so at most across any face
that it could hold: upright, lying, of a portrait or larger than the frame. At 12 blocks across a
recogniser still names a quarter of the people."""

_SEAL = claim_seal()


@dataclass(slots=True)
class FallbackStats:
    """How often, and why, the ladder was taken.

    Attributes:
        frames: frames that left on each level below the method.
        faces: faces that took the solid cover instead of the method.
        reasons: one line each, with how often it was the reason.
    """

    frames: dict[FallbackLevel, int] = field(default_factory=dict)
    faces: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, level: FallbackLevel, reason: str) -> None:
        """A whole frame took a step."""
        self.frames[level] = self.frames.get(level, 0) + 1
        add(self.reasons, reason)

    def count_faces(self, faces: int, reason: str) -> None:
        """Faces within a frame took a step."""
        self.faces += faces
        add(self.reasons, reason, faces)


class Compositor:
    """Paints faces and clears frames.

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
        self.fallbacks = FallbackStats()
        self._label = label
        self._shape = TARGETS[label].shape
        self._others = dict(others or {})
        self._helpers: dict[tuple[str, str], Compositor] = {}
        self._fault = fault
        self._draw_boxes = draw_boxes
        self._cover = Fill(slope=True)
        self._soft = SoftCover()
        self._models_dir = models_dir
        self._stabilizer = FaceStabilizer(method, models_dir)
        self._declined_before: dict[int, frozenset[int]] = {}

    @property
    def methods(self) -> tuple[Method, ...]:
        """The run's method and those that single regions ask for."""
        return (self.method, *self._others.values())

    def paint(self, frame: Frame, regions: Regions) -> Cleared:
        """``clear`` from plain data: where analysis hands over to painting.

        Args:
            frame: as for ``clear``.
            regions: of this very frame.

        Raises:
            GateError: the regions are those of another frame.
            Fault: a part failed, or it is not known what is in the frame, and the policy is to
                stop.
        """
        if regions.key != frame.key:
            raise GateError(f"{regions.key} came with {frame.key}")
        analysis_error: Fault | None = None
        if regions.unknown is not None:
            analysis_error = AnalysisFault(regions.unknown)
            if self._fault.policy == "stop":
                where = f"frame {regions.key.index} of stream {regions.key.stream}"
                raise AnalysisFault(f"{where}: {regions.unknown}")
        faces: Sequence[TrackedFace] = ()
        try:
            faces = place(regions, frame.quarter_turns)
        except Fault as fault:
            analysis_error = analysis_error or fault
        return self.clear(frame, faces, analysis_error)

    def clear(
        self, frame: Frame, faces: Sequence[TrackedFace], analysis_error: Fault | None = None
    ) -> Cleared:
        """Make a frame safe to show.

        Args:
            frame: as decoded; it is changed in place and must not be used afterwards.
            faces: every face that is known or feared to be in it. A place that makes no sense is
                a doubt about the whole frame.
            analysis_error: why the faces of this frame are not known, if they are not.

        Raises:
            Fault: a part failed and the policy is to stop.
        """
        if frame.corrupt and analysis_error is None:
            analysis_error = FrameFault(f"the frame at {frame.seconds:.3f} s is damaged")
        if analysis_error is None:
            analysis_error = misplaced(frame, faces)
        if analysis_error is not None:
            self._stop_or_log(analysis_error)
            return self._whole(frame, faces, str(analysis_error))
        try:
            self._paint(frame, faces)
        except Exception as error:  # noqa: BLE001 - raised as a fault, or left by the next step
            fault = error
            if not isinstance(fault, Fault):
                why = cause_of(error)
                fault = FrameFault(
                    f"the frame at {frame.seconds:.3f} s could not be painted: {why}"
                )
                fault.__cause__ = error
            self._stop_or_log(fault)
            return self._fill_all(frame, faces, str(fault))
        return self._pass(frame, faces, FallbackLevel.METHOD)

    def end(self, tracks: Sequence[int]) -> None:
        """Tracks have ended: the method drops what it kept for them.

        Raises:
            MethodFault: it could not, under either policy: what it keeps may be a key.
        """
        for helper in self._helpers.values():
            helper.end(tracks)
        failed: Exception | None = None
        for track in tracks:
            self._stabilizer.forget(track)
            try:
                self.method.forget(track)
            except Exception as error:  # noqa: BLE001 - raised below, when all have been told
                failed = error
        if failed is not None:
            name = self.method.name
            raise MethodFault(f"method {name} kept a track: {cause_of(failed)}") from failed

    def _pass(self, frame: Frame, faces: Sequence[TrackedFace], level: FallbackLevel) -> Cleared:
        if self._draw_boxes:
            for face in faces:
                try:
                    frame.outline(face.box)
                except Exception as error:  # noqa: BLE001 - a line that is missing shows nobody
                    log.warning("a box could not be outlined: %s", cause_of(error))
        return Cleared(frame, tuple(face.track for face in faces), level, _SEAL)

    def _stop_or_log(self, fault: Fault) -> None:
        if self._fault.policy == "stop":
            raise fault
        log.warning("%s; stepping down", fault)

    def _paint(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        own = [face for face in faces if self._mine(face)]
        self._paint_own(frame, own)
        rest = [face for face in faces if not self._mine(face)]
        # Each helper takes its crops from what those before it painted: never a raw neighbour.
        for (label, name), group in groupby(sorted(rest, key=_kind), key=_kind):
            self._helper(label, name)._paint_own(frame, list(group))

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
            helper = Compositor(method, self._fault, label=label, models_dir=self._models_dir)
            helper.fallbacks = self.fallbacks
            self._helpers[label, name] = helper
        return helper

    def _paint_own(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        covered_before = self._declined_before.pop(frame.stream, frozenset())
        if not faces:
            return
        try:
            transforms, subjects = self._stabilizer.of(frame, faces, covered_before)
        except Exception as error:
            raise MethodFault(f"the faces' frames failed: {cause_of(error)}") from error
        size = self.method.crop_size
        crops = frame.crops(transforms, size, ALIGNED_SIDE)
        # Before the method has them: nothing it does to its crops can change what is compared.
        old = OldFaces(crops)
        crops.setflags(write=False)
        rendered = self._render(crops, subjects)
        masks = self._shape.masks(rendered.masks, faces)
        failed = old.shown_in(rendered.crops)
        if failed.any():
            self.fallbacks.count_faces(int(failed.sum()), "the new face was too like the old one")
        declined = np.zeros(len(faces), np.bool_)
        if rendered.declined is not None:
            declined = rendered.declined & ~failed
            if declined.any():
                self.fallbacks.count_faces(int(declined.sum()), f"not fit for {self.method.name}")
        rejected = failed | declined
        self._declined_before[frame.stream] = frozenset(
            face.track for face, bad in zip(faces, rejected, strict=True) if bad
        )
        good = np.flatnonzero(~rejected)
        if len(good):
            frame.paste(rendered.crops[good], masks[good], transforms[good], ALIGNED_SIDE)
        # After the others: a cover must not be painted over by its neighbour's soft edge.
        soft = declined & (self._label == FACE)
        if soft.any():
            self._soften(frame, [face for face, bad in zip(faces, soft, strict=True) if bad])
        if (rejected & ~soft).any():
            hard = rejected & ~soft
            self._fill(frame, [face for face, bad in zip(faces, hard, strict=True) if bad])
        if self.method.opaque and self._label == FACE:
            # A neighbour's soft edge may carry what lies around it: another face, as it was. Nor
            # should a neighbour's generous cover hide a face that needs none.
            outer = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
            painted = np.where(rejected[:, None, None], outer, transforms)
            inner = good[crowded(transforms, painted)[good]]
            if len(inner):
                masks = np.broadcast_to(core_mask(), (len(inner), *core_mask().shape))
                frame.paste(rendered.crops[inner], masks, transforms[inner], ALIGNED_SIDE)

    def _render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        try:
            rendered = self.method.render(crops, subjects)
        except Fault:
            raise
        except Exception as error:
            raise MethodFault(f"method {self.method.name} failed: {cause_of(error)}") from error
        check_rendered(rendered, len(subjects), self.method.name)
        return rendered

    def _soften(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        """Cover what the method declined, softly; a fault on the way is a fault of the method."""
        transforms = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
        crops = frame.crops(transforms, self._soft.crop_size, ALIGNED_SIDE)
        subjects = [
            subject_of(face, frame.seconds, transform, face.landmarks)
            for face, transform in zip(faces, transforms, strict=True)
        ]
        rendered = self._soft.render(crops, subjects)
        if rendered.masks is None:
            raise MethodFault("the soft cover answered with no masks")
        frame.paste(rendered.crops, rendered.masks, transforms, ALIGNED_SIDE)

    def _fill(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        for label, group in groupby(sorted(faces, key=_label), key=_label):
            alike = list(group)
            transforms, masks = TARGETS[label].shape.cover(alike)
            crops = frame.crops(transforms, self._cover.crop_size, ALIGNED_SIDE)
            subjects = [
                subject_of(face, frame.seconds, transform, face.landmarks)
                for face, transform in zip(alike, transforms, strict=True)
            ]
            rendered = self._cover.render(crops, subjects)
            frame.paste(rendered.crops, masks, transforms, ALIGNED_SIDE)

    def _fill_all(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        return self._step(
            frame, faces, reason, FallbackLevel.FILL, lambda: self._fill(frame, faces), self._whole
        )

    def _whole(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        for face in faces:
            # Each on its own: one that cannot be painted must not leave the others open.
            try:
                self._fill(frame, [face])
            except Exception as error:  # noqa: BLE001 - the whole frame is pixelated next
                log.warning("a face could not be covered: %s", cause_of(error))
        return self._step(
            frame,
            faces,
            reason,
            FallbackLevel.PIXELATED,
            lambda: frame.pixelate(PIXELATED_BLOCKS),
            self._black,
        )

    def _black(self, frame: Frame, faces: Sequence[TrackedFace], reason: str) -> Cleared:
        try:
            frame.blacken()
        except Exception as error:
            raise FrameFault(
                f"the frame at {frame.seconds:.3f} s could not be blackened: {cause_of(error)}"
            ) from error
        self.fallbacks.count(FallbackLevel.BLACK, reason)
        return self._pass(frame, (), FallbackLevel.BLACK)

    def _step(
        self,
        frame: Frame,
        faces: Sequence[TrackedFace],
        reason: str,
        level: FallbackLevel,
        action: Callable[[], None],
        below: Callable[[Frame, Sequence[TrackedFace], str], Cleared],
    ) -> Cleared:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a step of the ladder that fails is left by the next
            log.warning("step %s failed: %s", level.name.lower(), cause_of(error))
            return below(frame, faces, reason)
        self.fallbacks.count(level, reason)
        return self._pass(frame, faces, level)


def _label(face: TrackedFace) -> str:
    return face.label


def _kind(face: TrackedFace) -> tuple[str, str]:
    """Faces before what was drawn by hand, since that lies on top."""
    return face.label, face.method or ""
