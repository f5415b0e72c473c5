"""The steps below the chosen method: what is counted of them, and the covers that they paint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from stream_anon.detection.types import TrackedFace
from stream_anon.errors import MethodFault
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.frame import Frame, Pixels, Transforms
from stream_anon.methods.base import Method
from stream_anon.methods.device.covers import DeviceFill, DeviceSoftCover
from stream_anon.methods.fill import Fill
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.methods.soft_cover import SoftCover
from stream_anon.methods.workplace import HOST, Workplace
from stream_anon.pipeline.counts import add
from stream_anon.pipeline.painting.face_stabilizer import subject_of
from stream_anon.pipeline.painting.shapes import Shape, grown
from stream_anon.pipeline.painting.transfer import CropTransfer
from stream_anon.track_state import Part, TrackState


@dataclass(slots=True)
class LabelStats:
    """What happened to the regions of one label.

    Attributes:
        methods: what painted them, each with how often.
        tracks: how many there were.
        regions: how often one was painted, over all frames.
        stepped_down: how often one took a cover instead of its method, within a frame that did
            not step down as a whole.
    """

    methods: dict[str, int] = field(default_factory=dict)
    tracks: int = 0
    regions: int = 0
    stepped_down: int = 0


@dataclass(slots=True)
class FallbackStats:
    """How often, and why, the ladder was taken.

    Attributes:
        frames: frames that left on each level below the method.
        faces: faces that took the solid cover instead of the method.
        reasons: one line each, with how often it was the reason.
        labels: likewise label by label.
    """

    frames: dict[FallbackLevel, int] = field(default_factory=dict)
    faces: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    labels: dict[str, LabelStats] = field(default_factory=dict)
    _met: Part[bool] = field(default_factory=Part)

    def count(self, level: FallbackLevel, reason: str) -> None:
        """A whole frame took a step."""
        self.frames[level] = self.frames.get(level, 0) + 1
        add(self.reasons, reason)

    def count_faces(self, faces: int, reason: str, label: str) -> None:
        """Faces within a frame took a step."""
        self.faces += faces
        add(self.reasons, reason, faces)
        self.label(label).stepped_down += faces

    def painted(self, label: str, method: str, states: Sequence[TrackState]) -> None:
        """Regions of one label, of these tracks, were painted in a frame."""
        stats, count = self.label(label), len(states)
        stats.regions += count
        stats.methods[method] = stats.methods.get(method, 0) + count
        for state in states:
            if self._met.get(state) is None:
                self._met.put(state, True)
                stats.tracks += 1

    def label(self, label: str) -> LabelStats:
        """The counts of one label."""
        return self.labels.setdefault(label, LabelStats())


class Covers:
    """The soft cover of what a method declined, and the solid one of what failed.

    Args:
        shapes: of every label that can be painted.
        place: where they work.
    """

    def __init__(self, shapes: Mapping[str, Shape], place: Workplace = HOST) -> None:
        self._shapes = shapes
        self._cover: Method = Fill(slope=True)
        self._soft: Method = SoftCover()
        if place.kernels is not None:
            self._cover = DeviceFill(place.kernels, slope=True)
            self._soft = DeviceSoftCover(place.kernels)

    def fill(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        """Cover them, grown, with the colour of the place; each label by its shape."""
        for label, group in groupby(sorted(faces, key=_label), key=_label):
            alike = list(group)
            transforms, masks = self._shapes[label].cover(alike)
            self._cover_with(self._cover, frame, alike, transforms, masks)

    def soften(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        """Cover aligned faces that the method declined; a fault on the way is the method's."""
        transforms = np.stack([grown(face.transform, SOFT_GROWTH) for face in faces])
        self._cover_with(self._soft, frame, faces, transforms, None)

    @staticmethod
    def _cover_with(
        method: Method,
        frame: Frame,
        faces: Sequence[TrackedFace],
        transforms: Transforms,
        masks: Pixels | None,
    ) -> None:
        transfer = CropTransfer(method, [frame])
        owners = np.zeros(len(faces), np.intp)
        with transfer.queue():
            crops = transfer.cut(owners, transforms)
            subjects = [
                subject_of(face, frame.seconds, transform, face.landmarks)
                for face, transform in zip(faces, transforms, strict=True)
            ]
            rendered = method.render(crops, subjects)
            masks = rendered.masks if masks is None else masks
            if masks is None:
                raise MethodFault(f"{method.name} answered with no masks")
            transfer.paste(owners, transfer.own(rendered.crops), masks, transforms)


def _label(face: TrackedFace) -> str:
    return face.label
