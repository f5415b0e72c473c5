"""Paints what one target has in a frame: crop, render, compare, paste."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stream_anon.alignment.masks import core_mask
from stream_anon.alignment.overlap import crowded
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import Fault, MethodFault
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.media.frame import Frame
from stream_anon.methods.base import Pixels, Rendered, Subject
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.pipeline.painting.checks import cause_of, check_rendered
from stream_anon.pipeline.painting.face_stabilizer import FaceStabilizer
from stream_anon.pipeline.painting.ladder import Covers, FallbackStats
from stream_anon.pipeline.painting.likeness import OldFaces
from stream_anon.pipeline.painting.shapes import grown
from stream_anon.pipeline.painting.targets import Target
from stream_anon.track_state import Part, TrackState


class Painter:
    """One target's brush. What it must remember of a track lies in the track's state.

    Args:
        target: label, shape and method.
        covers: for what the method declines, and for what is too like the old face.
        stats: counted into.
        models_dir: where networks are looked for first.
    """

    def __init__(
        self, target: Target, covers: Covers, stats: FallbackStats, models_dir: Path | None
    ) -> None:
        self.target = target
        self._method = target.method
        self._covers = covers
        self._stats = stats
        self._stabilizer = FaceStabilizer(target.method, models_dir)
        self._declined_in: Part[int] = Part()

    def paint(
        self, frame: Frame, faces: Sequence[TrackedFace], states: Sequence[TrackState]
    ) -> None:
        """Paint them, all of this target's label.

        Args:
            frame: painted in place.
            faces: n of them, n >= 1.
            states: n, of their tracks.

        Raises:
            Fault: the method, or what it needs, failed.
            Exception: the frame's own crop or paste did.
        """
        label, name = self.target.label, self._method.name
        covered_before = {
            state.track for state in states if self._declined_in.get(state) == frame.index - 1
        }
        try:
            transforms, subjects = self._stabilizer.of(frame, faces, states, covered_before)
        except Exception as error:
            raise MethodFault(f"the faces' frames failed: {cause_of(error)}") from error
        size = self._method.crop_size
        crops = frame.crops(transforms, size, ALIGNED_SIDE)
        # Before the method has them: nothing it does to its crops can change what is compared.
        old = OldFaces(crops)
        crops.setflags(write=False)
        rendered = self._render(crops, subjects)
        masks = self.target.shape.masks(rendered.masks, faces)
        failed = old.shown_in(rendered.crops)
        if failed.any():
            reason = "the new face was too like the old one"
            self._stats.count_faces(int(failed.sum()), reason, label)
        declined = np.zeros(len(faces), np.bool_)
        if rendered.declined is not None:
            declined = rendered.declined & ~failed
            if declined.any():
                self._stats.count_faces(int(declined.sum()), f"not fit for {name}", label)
        rejected = failed | declined
        for state, bad in zip(states, rejected, strict=True):
            if bad:
                self._declined_in.put(state, frame.index)
        good = np.flatnonzero(~rejected)
        if len(good):
            frame.paste(rendered.crops[good], masks[good], transforms[good], ALIGNED_SIDE)
        # After the others: a cover must not be painted over by its neighbour's soft edge.
        soft = declined & self.target.shape.aligned
        if soft.any():
            self._covers.soften(frame, [f for f, bad in zip(faces, soft, strict=True) if bad])
        if (rejected & ~soft).any():
            hard = rejected & ~soft
            self._covers.fill(frame, [f for f, bad in zip(faces, hard, strict=True) if bad])
        if self._method.opaque and self.target.shape.aligned:
            # A neighbour's soft edge may carry what lies around it: another face, as it was. Nor
            # should a neighbour's generous cover hide a face that needs none.
            outer = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
            painted = np.where(rejected[:, None, None], outer, transforms)
            inner = good[crowded(transforms, painted)[good]]
            if len(inner):
                masks = np.broadcast_to(core_mask(), (len(inner), *core_mask().shape))
                frame.paste(rendered.crops[inner], masks, transforms[inner], ALIGNED_SIDE)
        self._stats.painted(label, name, states)

    def _render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        try:
            rendered = self._method.render(crops, subjects)
        except Fault:
            raise
        except Exception as error:
            raise MethodFault(f"method {self._method.name} failed: {cause_of(error)}") from error
        check_rendered(rendered, len(subjects), self._method.name)
        return rendered
