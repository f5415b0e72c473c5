"""A clip with a face-like pattern in a known place, and a judge who looks for it in files.

Imported by tests and, in a process of its own, by the pipeline files that tests run through
the command line; so nothing here may be a fixture.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stream_anon.config import Config
from stream_anon.detection.base import Detector
from stream_anon.detection.types import Face
from stream_anon.geometry import TEMPLATE

WIDTH, HEIGHT, FRAMES, RATE = 320, 240, 36, 25
SIDE = 96


def corner(index: int) -> tuple[float, float]:
    """Where the aligned face space begins in a frame."""
    swing = 40 - abs(index % 80 - 40)
    return 30.0 + 3.0 * swing, 60.0 + 0.5 * swing


def face_at(index: int) -> Face:
    """What a perfect detector says of a frame."""
    x, y = corner(index)
    scale = SIDE / 128.0
    box = np.array([x + 22 * scale, y + 14 * scale, x + 106 * scale, y + 126 * scale])
    return Face(box, TEMPLATE * scale + (x, y), 0.95)


def frame(index: int) -> np.ndarray:
    """(240, 320, 3) RGB: a plain background, and a strong pattern where the face is."""
    ground = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
    x, y = corner(index)
    rng = np.random.default_rng(5)
    pattern = rng.integers(0, 2, (12, 12), dtype=np.uint8) * 220 + 16
    patch = cv2.resize(pattern, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    shift = np.array([[1, 0, x], [0, 1, y]])
    drawn = cv2.warpAffine(patch, shift, (WIDTH, HEIGHT))
    where = cv2.warpAffine(np.full_like(patch, 255), shift, (WIDTH, HEIGHT))[..., None]
    return np.where(where > 127, drawn[..., None], ground)


def write_clip(path: Path, frames: int = FRAMES, videos: int = 1) -> Path:
    """H.264 and a tone, 25 frames a second; the same in every video stream."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=RATE) for _ in range(videos)]
        for video in streams:
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.options = {"crf": "12", "preset": "ultrafast"}
        sound = container.add_stream("aac", rate=16000, layout="mono")
        tone = np.sin(np.arange(1024) * 0.05).astype(np.float32)[None]
        for index in range(frames):
            for video in streams:
                av_frame = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
                av_frame.pts, av_frame.time_base = index, Fraction(1, RATE)
                container.mux(video.encode(av_frame))
        for index in range(frames * 16000 // RATE // 1024):
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16000, index * 1024
            samples.time_base = Fraction(1, 16000)
            container.mux(sound.encode(samples))
        for video in streams:
            container.mux(video.encode())
        container.mux(sound.encode())
    return path


class Scripted(Detector):
    """Knows the scene. ``wrong`` may spoil an answer, by the index of the frame."""

    name = "centerface"

    def __init__(self, wrong=None) -> None:
        self._wrong = wrong
        self.asked = 0

    def detect(self, view, quarter_turns=0):
        self.asked += 1
        faces = [face_at(view.index)]
        return faces if self._wrong is None else self._wrong(view.index, faces)

    def _engine(self, count, width, height):
        raise AssertionError

    def _decode(self, outputs, width, height):
        raise AssertionError


def shows_face(rgb: np.ndarray, index: int) -> bool:
    """Whether the pattern can be made out where it was: correlation on its core."""
    x, y = (round(v) for v in corner(index))
    low, high = int(SIDE * 0.3), int(SIDE * 0.7)
    area = np.s_[y + low : y + high, x + low : x + high]
    a = frame(index)[area].mean(axis=2).ravel()
    b = rgb[area].astype(np.float64).mean(axis=2).ravel()
    a, b = a - a.mean(), b - b.mean()
    strength = np.linalg.norm(b) / np.linalg.norm(a)
    likeness = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
    return bool(likeness > 0.75 and strength > 0.5)


def leaks(folder: Path, clip: Path) -> list[str]:
    """Frames of any file in a folder, other than the clip itself, that show the face."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path == clip or path.suffix in (".py", ".json", ".yaml"):
            continue
        for index, rgb in readable(path):
            if shows_face(rgb, index):
                found.append(f"{path.name}: frame {index}")
    return found


def readable(path: Path):
    """Whatever can still be decoded of a file, however broken."""
    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate or RATE
            for av_frame in container.decode(video=0):
                yield (
                    round((av_frame.time or 0.0) * float(rate)),
                    av_frame.to_ndarray(format="rgb24"),
                )
    except (av.FFmpegError, IndexError):
        return


def quick(**changes) -> Config:
    """A configuration that detects in every frame."""
    from stream_anon.config import override

    return override(Config(), **{"tracker.interval": 0.04, **changes})
