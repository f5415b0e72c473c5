"""Paints what one target has in a frame: crop, render, compare, paste."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import core_mask
from stream_anon.alignment.overlap import crowded
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import Fault, MethodFault, let_go, out_of_memory
from stream_anon.media.frame import Frame, Owners, Transforms
from stream_anon.methods.base import Pixels, Rendered, Subject
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.pipeline.painting.checks import cause_of, check_rendered
from stream_anon.pipeline.painting.face_stabilizer import FaceStabilizer
from stream_anon.pipeline.painting.fringe import cover_beside, open_beside
from stream_anon.pipeline.painting.ladder import Covers, FallbackStats
from stream_anon.pipeline.painting.likeness import OldFaces
from stream_anon.pipeline.painting.shapes import grown
from stream_anon.pipeline.painting.targets import Target
from stream_anon.pipeline.painting.transfer import CropTransfer
from stream_anon.track_state import Part, TrackState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Regions of one label in one frame.

    Attributes:
        frame: painted in place.
        faces: at least one.
        states: of their tracks.
    """

    frame: Frame
    faces: Sequence[TrackedFace]
    states: Sequence[TrackState]


@dataclass(slots=True)
class Progress:
    """How far several frames have come that are painted together, by the ``id`` of each.

    Attributes:
        left: targets that are still to be painted.
        changed: frames that may have been changed.
    """

    left: Counter[int] = field(default_factory=Counter)
    changed: set[int] = field(default_factory=set)


class Painter:
    """One target's brush. What it must remember of a track lies in the track's state.

    Args:
        target: label, shape and method.
        covers: for what the method declines, and for what is too like the old face.
        stats: counted into.
        models_dir: where networks are looked for first.
        backend: runs the networks that follow faces.
    """

    def __init__(
        self,
        target: Target,
        covers: Covers,
        stats: FallbackStats,
        models_dir: Path | None,
        backend: Backend = OPENVINO,
    ) -> None:
        self.target = target
        self._method = target.method
        self._covers = covers
        self._stats = stats
        self._stabilizer = FaceStabilizer(target.method, models_dir, backend)
        self._declined_in: Part[int] = Part()
        self._most = sys.maxsize

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
        self._paint([Work(frame, faces, states)], set())

    def paint_all(self, works: Sequence[Work], progress: Progress) -> None:
        """Paint several frames together; the method is one that batches.

        Where the device has no memory for so many at once, they are painted in halves.

        Args:
            works: in the order of the frames, all of which go with each other.
            progress: told of each frame.

        Raises:
            Fault, Exception: as from ``paint``, of any of them.
        """
        if self._most < len(works):
            for start in range(0, len(works), self._most):
                self.paint_all(works[start : start + self._most], progress)
            return
        begun: set[int] = set()
        try:
            self._paint(works, begun)
        except Exception as error:
            progress.changed |= begun
            if begun or len(works) == 1 or not out_of_memory(error):
                raise
            let_go(error)
            if self._method.kernels is not None:
                self._method.kernels.trim()
            self._most = len(works) // 2
            log.warning("no memory for %d frames at once, trying %d", len(works), self._most)
            self.paint_all(works, progress)
            return
        progress.changed |= begun
        for work in works:
            progress.left[id(work.frame)] -= 1

    def _paint(self, works: Sequence[Work], begun: set[int]) -> None:
        label, name = self.target.label, self._method.name
        frames = [work.frame for work in works]
        faces = [face for work in works for face in work.faces]
        states = [state for work in works for state in work.states]
        owners = np.repeat(np.arange(len(works)), [len(work.faces) for work in works])
        transforms, subjects = self._placed(works)
        transfer = CropTransfer(self._method, frames)
        with transfer.queue():
            crops = transfer.cut(owners, transforms)
            # Before the method has them: nothing it does to its crops can change what is compared.
            before = transfer.to_host(crops)
            old = OldFaces(crops) if before is None else None
            rendered = self._render(transfer.given(crops), subjects)
            masks = self.target.shape.masks(rendered.masks, faces)
            new = transfer.own(rendered.crops)
            after = transfer.to_host(new)
        # On a device the host waits here, for both copies at once.
        shown = new if after is None else after()
        if old is None:
            old = OldFaces(crops if before is None else before())
        failed = old.shown_in(shown)
        if failed.any():
            reason = "the new face was too like the old one"
            self._stats.count_faces(int(failed.sum()), reason, label)
        declined = np.zeros(len(faces), np.bool_)
        if rendered.declined is not None:
            declined = rendered.declined & ~failed
            if declined.any():
                self._stats.count_faces(int(declined.sum()), f"not fit for {name}", label)
        rejected = failed | declined
        for i in np.flatnonzero(rejected):
            self._declined_in.put(states[i], frames[owners[i]].index)
        good = np.flatnonzero(~rejected)
        if len(good):
            with transfer.queue():
                chosen = transfer.rows(new, good)
                try:
                    transfer.paste(owners[good], chosen, masks[good], transforms[good])
                except MemoryError:
                    # Found before anything is painted (`Frame.paste_into`).
                    raise
                except BaseException:
                    # Raised again: the ladder steps down, and must know that these are touched.
                    begun |= {id(frame) for frame in frames}
                    raise
            begun |= {id(frame) for frame in frames}
        for n, frame in enumerate(frames):
            begun.add(id(frame))
            own = np.flatnonzero(owners == n)
            self._cover(frame, [faces[i] for i in own], declined[own], rejected[own])
            if self._method.opaque and self.target.shape.aligned:
                self._clear_of_neighbours(
                    transfer, n, own, [faces[i] for i in own], new, transforms, rejected
                )
                drawn = own[~rejected[own]]
                if len(drawn) and self._method.crop_scale is not None:
                    kept, crops_of = [faces[i] for i in drawn], transforms[drawn]
                    # Last of all: it is made of what lies around, so nothing there may be open.
                    with transfer.queue():
                        cover_beside(frame, kept, crops_of, open_beside(kept, crops_of))
        self._stats.painted(label, name, states)

    def _placed(self, works: Sequence[Work]) -> tuple[Transforms, list[Subject]]:
        """The crops of all faces, frame by frame."""
        transforms, subjects = [], []
        for work in works:
            covered_before = {
                state.track
                for state in work.states
                if self._declined_in.get(state) == work.frame.index - 1
            }
            try:
                own, told = self._stabilizer.of(
                    work.frame, work.faces, work.states, covered_before
                )
            except Exception as error:
                raise MethodFault(f"the faces' frames failed: {cause_of(error)}") from error
            transforms.append(own)
            subjects += told
        return np.concatenate(transforms), subjects

    def _cover(
        self,
        frame: Frame,
        faces: Sequence[TrackedFace],
        declined: NDArray[np.bool_],
        rejected: NDArray[np.bool_],
    ) -> None:
        """After the others: a cover must not be painted over by its neighbour's soft edge."""
        soft = declined & self.target.shape.aligned
        if soft.any():
            self._covers.soften(frame, [f for f, bad in zip(faces, soft, strict=True) if bad])
        if (rejected & ~soft).any():
            hard = rejected & ~soft
            self._covers.fill(frame, [f for f, bad in zip(faces, hard, strict=True) if bad])

    @staticmethod
    def _clear_of_neighbours(
        transfer: CropTransfer,
        number: int,
        own: Owners,
        faces: Sequence[TrackedFace],
        new: Pixels,
        transforms: Transforms,
        rejected: NDArray[np.bool_],
    ) -> None:
        """A neighbour's soft edge may carry what lies around it: another face, as it was. Nor
        should a neighbour's generous cover hide a face that needs none."""
        outer = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
        painted = np.where(rejected[own, None, None], outer, transforms[own])
        near = crowded(transforms[own], painted) & ~rejected[own]
        inner = own[near]
        if len(inner):
            masks = np.broadcast_to(core_mask(), (len(inner), *core_mask().shape))
            owners = np.full(len(inner), number, np.intp)
            with transfer.queue():
                transfer.paste(owners, transfer.rows(new, inner), masks, transforms[inner])

    def _render(self, crops: Pixels, subjects: Sequence[Subject]) -> Rendered:
        try:
            rendered = self._method.render(crops, subjects)
        except Fault:
            raise
        except Exception as error:
            raise MethodFault(f"method {self._method.name} failed: {cause_of(error)}") from error
        check_rendered(rendered, len(subjects), self._method.name)
        return rendered
