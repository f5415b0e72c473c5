"""What is looked for beside faces: heads, and the targets of plug-ins.

They are followed in the same frames, and decided with the faces of a frame. A person whose face
is seen is a face; where nobody sees it any more, or heads alone are asked for, it is a head.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream_anon import plugins
from stream_anon.config import Config
from stream_anon.detection.base import Detector, View
from stream_anon.detection.checks import check_faces
from stream_anon.detection.heads import FIRM, SIDE, BodyHeads, around, head_of
from stream_anon.detection.heads import NAME as BODY_POSE
from stream_anon.detection.oriented import stored, upright
from stream_anon.detection.types import Face, TrackedFace
from stream_anon.errors import ConfigError, ModelError, StreamAnonError
from stream_anon.media.frame import Frame, Pixels
from stream_anon.models import registry
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.regions import FACE, HEAD, REGION, Region
from stream_anon.tracking.follower import Follower

log = logging.getLogger(__name__)

SEEN = ("detected", "interpolated")
"""Origins of a face that is seen in a frame, not held on to."""

BODY_SCORE = 0.5
"""What a body's score counts beside a face's: found once only, most are tentative."""

LARGEST_HEAD = 3.0
"""Sides of a head's box in those of its face, at most: a small face before a large head is another
person's."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What finds the labels beside faces; shared by the streams of a run.

    Attributes:
        bodies: finds heads above bodies, or None: heads grow from faces alone.
        detectors: of plug-ins' targets, by label.
        note: what the report should say.
    """

    bodies: BodyHeads | None
    detectors: Mapping[str, Detector]
    note: str | None = None

    @classmethod
    def of(cls, config: Config, backend: Backend = OPENVINO) -> Sources:
        """What a configuration's targets need.

        Args:
            config: of the run.
            backend: runs our own networks.

        Raises:
            ConfigError: the target of a plug-in is broken.
            ModelError: weights are missing that must be there.
        """
        bodies, note = None, None
        if HEAD in config.targets and config.head.bodies is not False:
            try:
                fetch = registry.path if config.head.bodies else registry.path_if_due
                fetch(BODY_POSE, config.models_dir)
                threads = max(1, len(os.sched_getaffinity(0)) // 2)
                bodies = BodyHeads(config.models_dir, threads, backend)
            except ModelError as error:
                if config.head.bodies:
                    raise
                note = f"the network {BODY_POSE} is not here: heads were grown from faces alone"
                log.warning("heads are grown from faces alone: %s", error)
        names = [label for label in config.targets if label not in (FACE, HEAD, REGION)]
        return cls(bodies, {name: _detector(name, config.models_dir) for name in names}, note)


class OtherLabels:
    """The labels beside faces in one stream.

    Args:
        config: targets, spans.
        sources: what finds them.
        size: width and height of the frames in pixels.
        rate: frames per second, nominal.
        track_ids: gives each new track its number; shared with the tracker of faces.
        quarter_turns: quarter turns, counter-clockwise, that make the frames upright.
    """

    def __init__(
        self,
        config: Config,
        sources: Sources,
        size: tuple[int, int],
        rate: float,
        track_ids: Iterator[int],
        quarter_turns: int = 0,
    ) -> None:
        self._targets, self._sources, self._turns = config.targets, sources, quarter_turns
        hold = max(config.head.hold, config.tracker.max_age)
        spans = {HEAD: hold, **dict.fromkeys(sources.detectors, config.tracker.max_age)}
        threshold = config.detector.threshold
        self._followers = {
            label: Follower(label, config.tracker, size, rate, track_ids, threshold, span)
            for label, span in spans.items()
            if label in config.targets
        }
        sane = min(60.0, max(1.0, rate)) if np.isfinite(rate) else 25.0
        self._every = max(1, round(config.head.interval * sane))
        self._interval = config.head.interval
        self._looked: tuple[int, float] | None = None
        self._threshold = threshold

    @property
    def last_looked(self) -> int:
        """Index of the last frame in which everything was looked for; -1 before the first."""
        return -1 if self._looked is None else self._looked[0]

    def push(
        self, frame: Frame, luma: Pixels, step: int, faces: Sequence[Face] | None
    ) -> None:
        """The next frame.

        Args:
            frame: as decoded.
            luma: every ``step``-th sample of it.
            step: frame pixels per sample.
            faces: what the detector found in it, or None where it did not look.

        Raises:
            DetectorFault: a network answered with nonsense.
        """
        due = self._due(frame)
        for label, follower in self._followers.items():
            found: list[Face] | None = None
            if label == HEAD:
                bodies = self._bodies(frame) if due and self._sources.bodies is not None else []
                if faces is not None or bodies:
                    firm = [face for face in faces or () if face.score >= self._threshold]
                    found = around(firm, bodies, self._turns)
            elif due:
                answer = self._sources.detectors[label].detect(frame, self._turns)
                check_faces(answer, frame.width, frame.height, f"the detector of '{label}'")
                found = list(answer)
            follower.push(frame.index, frame.seconds, luma, step, found)
        if due:
            # Not before: what failed is tried again in the very next frame.
            self._looked = (frame.index, frame.seconds)

    def decide(
        self, index: int, faces: tuple[TrackedFace, ...], ended: tuple[int, ...]
    ) -> tuple[tuple[TrackedFace, ...], tuple[Region, ...], tuple[str, ...]]:
        """What is to be painted in a frame whose faces are decided.

        Returns:
            Faces, what else there is, and tracks that have ended.
        """
        found: list[Region] = []
        over = [str(track) for track in ended]
        for label, follower in self._followers.items():
            followed = follower.decide(index)
            over += followed.ended
            found += self._heads(followed.regions, faces) if label == HEAD else followed.regions
        return (faces if FACE in self._targets else ()), tuple(found), tuple(over)

    def flush(self) -> tuple[str, ...]:
        """The stream is over: the tracks that end with it."""
        return tuple(track for follower in self._followers.values() for track in follower.flush())

    def _heads(
        self, heads: tuple[Region, ...], faces: tuple[TrackedFace, ...]
    ) -> list[Region]:
        if FACE in self._targets:
            seen = [face for face in faces if face.origin in SEEN]
            return [head for head in heads if not any(_belong(face, head) for face in seen)]
        # Heads alone: whatever is painted of a face without them is painted with them.
        shown = list(heads)
        for face in faces:
            if not any(_inside(face, head) for head in heads):
                box = head_of(Face(face.box, face.landmarks, face.score), self._turns).box
                x0, y0, x1, y1 = map(float, box)
                shown.append(
                    Region(str(face.track), HEAD, (x0, y0, x1, y1), None, face.score, face.origin)
                )
        return shown

    def _due(self, frame: Frame) -> bool:
        if self._looked is not None:
            index, seconds = self._looked
            soon = 0.0 <= frame.seconds - seconds < self._interval - 1e-6
            if frame.index - index < self._every and soon:
                return False
        return True

    def _bodies(self, frame: View) -> list[Face]:
        """Heads above bodies, in pixels of the frame as it is stored; faint ones may only
        continue a track."""
        assert self._sources.bodies is not None  # noqa: S101 - asked by the caller
        shorter = min(frame.width, frame.height)
        # Squares of half the shorter side then have as many pixels as the network wants.
        scale = max(1.0, shorter / (2 * SIDE))
        pixels = upright(
            frame, self._turns, round(frame.width / scale), round(frame.height / scale)
        )
        heads = self._sources.bodies.detect(pixels, scale)
        found = []
        for head in heads:
            box = stored(head.box, self._turns, frame.width, frame.height)
            # Bodies are found with more score and less reason than faces.
            score = max(self._threshold, BODY_SCORE * head.score)
            score = score if head.score >= FIRM else 0.99 * self._threshold
            found.append(Face(box, None, score))
        return found


def _detector(label: str, models_dir: Path | None) -> Detector:
    target = plugins.load("target", label)
    if target is None:
        raise plugins.unknown("target", label, (FACE, HEAD, REGION))
    try:
        made = target.detector(models_dir)
    except StreamAnonError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"the detector of target '{label}' could not be made: {type(error).__name__}: {why}"
        ) from error
    if not isinstance(made, Detector):
        raise ConfigError(
            f"the detector of target '{label}' is a {type(made).__name__}, "
            "not a stream_anon.detection.base.Detector"
        )
    return made


def _belong(face: TrackedFace, head: Region) -> bool:
    """Whether a head is that of a face."""
    x0, y0, x1, y1 = head.box
    x, y = ((face.box[:2] + face.box[2:]) / 2).tolist()
    large = max(x1 - x0, y1 - y0) > LARGEST_HEAD * float((face.box[2:] - face.box[:2]).max())
    return x0 < x < x1 and y0 < y < y1 and not large


def _inside(face: TrackedFace, head: Region) -> bool:
    x0, y0, x1, y1 = head.box
    a, b, c, d = face.box.tolist()
    return bool(x0 <= a and y0 <= b and x1 >= c and y1 >= d)
