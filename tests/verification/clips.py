"""Clips with one real face, from the portrait that the registry ships, and a painter that fails."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.models import registry

WIDTH, HEIGHT, RATE = 320, 240, 25


@lru_cache(maxsize=1)
def portrait() -> np.ndarray:
    """(512, 512, 3) uint8 RGB; not to be written to."""
    return cv2.imread(str(registry.path("astronaut")), cv2.IMREAD_COLOR)[..., ::-1].copy()


def frame(index: int, mirrored: bool = False) -> np.ndarray:
    """(240, 320, 3) uint8 RGB: head and shoulders, moving a little from frame to frame."""
    swing = 12.0 * np.sin(index / 6.0)
    move = np.array([[0.72, 0.0, -5.0 + swing], [0.0, 0.72, 5.0 + swing / 3]])
    frame = portrait()[:, ::-1] if mirrored else portrait()
    if mirrored:
        move[0, 2] = -40.0 + swing
    made = cv2.warpAffine(
        np.ascontiguousarray(frame), move, (WIDTH, HEIGHT), None, cv2.INTER_AREA,
        cv2.BORDER_REFLECT,
    )  # fmt: skip
    # The reflected flag in this corner is a face to one detector of three.
    made[:32, :32] = made[32, 32]
    return made


def write(
    path: Path,
    count: int = 24,
    *,
    times: list[int] | None = None,
    base: Fraction = Fraction(1, RATE),
    rotation: int | None = None,
    videos: int = 1,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """A clip; ``times`` in units of ``base``, ``size`` (width, height) as it is seen upright."""
    turns = (rotation or 0) // 90 % 4
    stored = size if turns % 2 == 0 else size[::-1]
    with av.open(str(path), "w") as container:
        streams = []
        for _ in range(videos):
            stream = container.add_stream(codec, rate=RATE, time_base=base)
            stream.width, stream.height = stored
            stream.pix_fmt = pix_fmt
            stream.options = {"preset": "ultrafast", "crf": "16", **(options or {})}
            if rotation is not None:
                stream.set_display_rotation(rotation)
            streams.append(stream)
        for index in range(count):
            for number, stream in enumerate(streams):
                rgb = frame(index, mirrored=number == 1)
                if size != (WIDTH, HEIGHT):
                    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
                # Stored turned, so that a player that turns it back shows it upright.
                rgb = np.ascontiguousarray(np.rot90(rgb, -turns))
                made = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                made.pts = index if times is None else times[index]
                made.time_base = base
                container.mux(stream.encode(made))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@contextmanager
def painting_fails(monkeypatch, frames=None):
    """Pasting into a frame does nothing, in all frames or in some: a defect below the gate."""
    real = CpuFrame.paste

    def paste(self, *arguments, **named):
        if frames is not None and self.index not in frames:
            real(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(CpuFrame, "paste", paste)
        yield


def frames(path: Path) -> list[np.ndarray]:
    """Luma of every frame."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="gray") for f in container.decode(video=0)]
