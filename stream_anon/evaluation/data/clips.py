"""Clips, clear and anonymised by the project's own pipeline, as tracks of aligned face crops."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.api import redact
from stream_anon.config import Config, override
from stream_anon.detection.types import Face
from stream_anon.errors import InputError
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.finder import Finder

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]

SMALLEST = 24.0
"""Side in pixels below which a face is not followed here."""

OVERLAP = 0.3
"""Intersection over union from which two boxes of neighbouring frames are one face."""

SHORTEST = 8
"""Frames below which a track is not measured."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """One face of one clip, clear and anonymised, aligned by the *clear* face's landmarks.

    That is the strongest alignment an attacker can have. ``before`` holds the diagram before
    each, cut by the same transform, so that only what moves within the face differs.

    Attributes:
        clip: file name without suffix.
        person: number of the person, equal for clips that were said to show the same one.
        frames: (n,) int64 number of each frame in the clip, rising.
        sizes: (n,) sides of the face's box in pixels.
        landmarks: (n, 5, 2) of the clear face in aligned units.
        clear: (n, 128, 128, 3) uint8 RGB.
        new: likewise, anonymised.
        clear_before: likewise, the frame before; the first repeats itself.
        new_before: likewise.
        run: how often the clip had been anonymised before, with other draws.
    """

    clip: str
    person: int
    frames: NDArray[np.int64]
    sizes: Array
    landmarks: Array
    clear: Pixels
    new: Pixels
    clear_before: Pixels
    new_before: Pixels
    run: int = 0


def face_track(
    clips: Sequence[tuple[Path, int]],
    condition: Condition,
    finder: Finder,
    base: Config,
    most: int,
    tell: Callable[[str], None],
) -> list[FaceTrack]:
    """Anonymise clips, each in a run of its own, and cut their faces.

    Args:
        clips: files with the number of the person they show; -1 where nobody knows, which
            makes every track a person of its own.
        condition: how they are anonymised.
        finder: finds and aligns the clear faces.
        base: detector, models and all the rest of the configuration.
        most: frames of each clip.
        tell: hears what is being done.

    Raises:
        StreamAnonError: as ``redact`` raises it.
    """
    face_tracks: list[FaceTrack] = []
    # What a redaction leaves open shall be measured, not refused.
    config = override(condition.config(base), **{"verify.mode": "off"})
    with TemporaryDirectory(prefix="stream-anon-") as folder:
        for path, person in clips:
            tell(f"clip {path.name}: {condition}")
            target = Path(folder) / f"{path.stem}.mp4"
            redact(path, target, config=config, overwrite=True, end=end_of(path, most))
            tracks = _cut(path, target, finder, most)
            for number, track in enumerate(sorted(tracks, key=lambda t: -len(t.frames))):
                if len(track.frames) < SHORTEST or (person >= 0 and number > 0):
                    continue
                made = track.face_track(path.stem, person)
                if _is_face(made, finder):
                    face_tracks.append(made)
            target.unlink()
    unknown = max([f.person for f in face_tracks], default=-1) + 1
    strangers = itertools.count(unknown)
    return [f if f.person >= 0 else replace(f, person=next(strangers)) for f in face_tracks]


def frames_of(path: Path) -> Iterator[Pixels]:
    """Frames of a video as (height, width, 3) uint8 RGB, in presentation order.

    Raises:
        InputError: it cannot be opened or holds no video.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def cut(frame: Pixels, transform: Array) -> Pixels:
    """One (128, 128, 3) aligned face crop of an RGB image."""
    scale = geometry.scale_of(transform)
    if scale < 0.6:
        # Averaged first: interpolation alone would skip pixels of a large face.
        factor = min(8, max(2, round(1.0 / scale)))
        height, width = frame.shape[0] // factor, frame.shape[1] // factor
        trimmed = frame[: height * factor, : width * factor]
        frame = np.asarray(
            cv2.resize(trimmed, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
        offset = (factor - 1) / 2.0
        transform = transform.copy()
        transform[:, 2] += transform[:, :2] @ np.array([offset, offset])
        transform[:, :2] *= factor
    side = (geometry.ALIGNED_SIDE, geometry.ALIGNED_SIDE)
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    crop = cv2.warpAffine(frame, transform, side, flags=flags, borderMode=border)
    return np.asarray(crop, np.uint8)


class _Track:
    """A face while its clip is read."""

    def __init__(self, box: Array) -> None:
        self.box = box
        self.frames: list[int] = []
        self._sizes: list[float] = []
        self._landmarks: list[Array] = []
        self._crops: list[tuple[Pixels, Pixels, Pixels, Pixels]] = []

    def add(
        self,
        number: int,
        face: Face,
        landmarks: Array,
        frames: tuple[Pixels, Pixels, Pixels, Pixels],
    ) -> None:
        """One more frame: clear, new, and the two of the frame before."""
        transform = geometry.similarity(landmarks)
        self.box = face.box
        self.frames.append(number)
        self._sizes.append(face.size)
        self._landmarks.append(geometry.apply(transform, landmarks))
        crops = [cut(frame, transform) for frame in frames]
        self._crops.append((crops[0], crops[1], crops[2], crops[3]))

    def face_track(self, clip: str, person: int) -> FaceTrack:
        """What was gathered."""
        clear, new, clear_before, new_before = (np.stack(c) for c in zip(*self._crops, strict=True))
        return FaceTrack(
            clip,
            person,
            np.array(self.frames, np.int64),
            np.array(self._sizes),
            np.stack(self._landmarks),
            clear,
            new,
            clear_before,
            new_before,
        )


def _cut(clear_path: Path, new_path: Path, finder: Finder, most: int) -> list[_Track]:
    tracks: list[_Track] = []
    before: tuple[Pixels, Pixels] | None = None
    pairs = zip(frames_of(clear_path), frames_of(new_path), strict=False)
    for number, (clear, new) in enumerate(pairs):
        if number >= most:
            break
        if clear.shape != new.shape:
            raise InputError(f"{new_path.name}: {new.shape} where {clear.shape} went in")
        last = before or (clear, new)
        live = [t for t in tracks if t.frames[-1] >= number - 3]
        for face in finder.all(clear):
            if face.landmarks is None or face.size < SMALLEST:
                continue
            best = max(live, key=lambda t: overlap(t.box, face.box), default=None)
            if best is None or overlap(best.box, face.box) < OVERLAP:
                best = _Track(face.box)
                tracks.append(best)
            else:
                live.remove(best)
            best.add(number, face, face.landmarks, (clear, new, *last))
        before = (clear, new)
    return tracks


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inter = float(np.prod(np.maximum(high - low, 0.0)))
    areas = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]))
    return inter / max(areas - inter, 1e-9)


def _is_face(track: FaceTrack, finder: Finder) -> bool:
    """Whether a detector that is shown the aligned crops agrees on most of them; an elbow that
    was taken for a face is nobody's, and would dilute every figure."""
    rows = np.linspace(0, len(track.frames) - 1, 5).astype(int)
    return sum(finder.aligned(track.clear[i]) is not None for i in rows) >= 3


def encoded_again(path: Path, target: Path, most: int, crf: int) -> None:
    """Encode the first frames of a clip as they are, so that what is compared with a redacted
    clip has gone through the same encoder.

    Args:
        path: the clip.
        target: an MP4 that is written, H.264 ``veryfast`` as a run writes it.
        most: frames.
        crf: of the encoder.

    Raises:
        InputError: the clip cannot be read, or not be encoded.
    """
    try:
        with av.open(str(path)) as source, av.open(str(target), "w") as sink:
            given = source.streams.video[0]
            stream: Any = sink.add_stream("libx264", rate=25)
            stream.width, stream.height = given.width // 2 * 2, given.height // 2 * 2
            stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "preset": "veryfast"}
            for number, frame in enumerate(source.decode(video=0)):
                if number >= most:
                    break
                plain = frame.reformat(stream.width, stream.height, "yuv420p")
                plain.pts, plain.time_base = number, Fraction(1, 25)
                plain.pict_type = av.video.frame.PictureType.NONE  # not the source's keyframes
                for packet in stream.encode(plain):
                    sink.mux(packet)
            for packet in stream.encode(None):
                sink.mux(packet)
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def end_of(path: Path, most: int) -> float | None:
    """Seconds after which the clip may end; None where its rate is not known."""
    try:
        with av.open(str(path)) as container:
            rate: Any = container.streams.video[0].average_rate
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    return float((most + 1) / rate) if rate else None
