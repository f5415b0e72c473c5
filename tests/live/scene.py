"""A scene with a pattern where a face would be, who finds it, and a judge who looks for it."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np

from stream_anon.detection.base import Detector
from stream_anon.detection.types import Face
from stream_anon.geometry import TEMPLATE

RATE = 25
FRAMES = 100
"""Of the loop: four seconds."""
CODE, BITS = 8, 10
"""Side in pixels of a cell of the frame's number, and how many cells there are."""
RAW = 0.7
"""Correlation from which the pattern counts as seen."""


@cache
def pattern(side: int) -> np.ndarray:
    """(side, side, 3) RGB and a mask: cells of yellow and blue in the ellipse of a face."""
    rng = np.random.default_rng(5)
    cells = cv2.resize(
        rng.integers(0, 2, (12, 12), dtype=np.uint8), (side, side), interpolation=0
    )
    colours = np.array([[30, 30, 200], [240, 230, 60]], np.uint8)
    return colours[cells]


@cache
def ellipse(side: int) -> np.ndarray:
    scale = side / 128.0
    mask = np.zeros((side, side), np.uint8)
    axes = (round(37 * scale), round(50 * scale))
    cv2.ellipse(mask, (round(64 * scale), round(70 * scale)), axes, 0, 0, 360, 255, -1)
    return mask


def corner(index: int, width: int, height: int, side: int) -> tuple[int, int]:
    """Where the pattern lies: to and fro, the same at the loop's end as at its beginning."""
    swing = abs(index % FRAMES - FRAMES // 2) / (FRAMES // 2)
    return round(4 + (width - side - 8) * swing), (height - side) // 2 + 8


def side_of(height: int) -> int:
    return height * 2 // 5


def frame(index: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) RGB."""
    side = side_of(height)
    out = np.full((height, width, 3), 110, np.uint8)
    x, y = corner(index, width, height, side)
    where = ellipse(side)[..., None] > 0
    patch = out[y : y + side, x : x + side]
    patch[...] = np.where(where, pattern(side), patch)
    for bit in range(BITS):
        value = 220 if index % FRAMES >> bit & 1 else 20
        out[0:CODE, bit * CODE : (bit + 1) * CODE] = value
    # So that a bar that was never painted is told from a number.
    out[0:CODE, BITS * CODE : (BITS + 1) * CODE] = 220
    return out


def number(luma: np.ndarray) -> int | None:
    """The frame's number as it is painted into it; None where there is none."""
    cells = [luma[2:6, b * CODE + 2 : b * CODE + 6].mean() for b in range(BITS + 1)]
    if cells[BITS] < 150 or any(80 < cell < 150 for cell in cells):
        return None
    found = sum(1 << bit for bit in range(BITS) if cells[bit] > 120)
    return found if found < FRAMES else None


@cache
def encoded(
    width: int, height: int, keyframes: int = 10, codec: str = "h264"
) -> tuple[tuple[bytes, bool], ...]:
    """The loop in Annex B, one element a frame, with whether it is a keyframe."""
    context = av.CodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.gop_size, context.max_b_frames = keyframes, 0
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
    if codec == "hevc":
        context.options |= {"x265-params": "log-level=none:repeat-headers=1:pools=1"}
    out = []
    for index in range(FRAMES):
        av_frame = av.VideoFrame.from_ndarray(frame(index, width, height), format="rgb24")
        av_frame = av_frame.reformat(format="yuv420p")
        av_frame.pts, av_frame.time_base = index, Fraction(1, RATE)
        out += [(bytes(packet), bool(packet.is_keyframe)) for packet in context.encode(av_frame)]
    return tuple(out)


class Finder(Detector):
    """Finds the pattern by its colours."""

    name = "centerface"

    def detect(self, view, quarter_turns=0):
        width, height = view.width // 2, view.height // 2
        pixels = view.thumbnail(width, height).astype(np.int16)
        mask = (pixels.max(axis=2) - pixels.min(axis=2) > 60).astype(np.uint8)
        x, y, wide, high = cv2.boundingRect(mask)
        if wide < 6 or high < 6:
            return []
        # The ellipse is 74 by 100 units of 128.
        scale = (wide * 2 / 74 + high * 2 / 100) / 2
        left, top = x * 2 - 27 * scale, y * 2 - 20 * scale
        box = np.array([left + 22 * scale, top + 14 * scale, left + 106 * scale, top + 126 * scale])
        return [Face(box, TEMPLATE * scale + (left, top), 0.95)]


def likeness(luma: np.ndarray, sides: tuple[int, ...] | None = None) -> float:
    """How much of the pattern is seen anywhere in a frame: the best correlation at these sizes."""
    best = 0.0
    for size in sides or (side_of(luma.shape[0]),):
        shown = cv2.cvtColor(pattern(size), cv2.COLOR_RGB2GRAY)
        scale = size / 128.0
        top, bottom, left, right = (round(v * scale) for v in (36, 106, 42, 88))
        found = cv2.matchTemplate(
            np.ascontiguousarray(luma), shown[top:bottom, left:right], cv2.TM_CCOEFF_NORMED
        )
        best = max(best, float(found.max()))
    return best


class Verdict:
    """What a recording shows.

    Attributes:
        frames, raw: how many frames, and how many of them show the pattern.
        worst: the largest likeness.
        times: seconds of each frame.
        sizes: of the frames.
        numbers: of each frame; None on slates and whole covers.
    """

    def __init__(self, path, sides: tuple[int, ...] | None = None) -> None:
        self.times: list[float] = []
        self.numbers: list[int | None] = []
        self.sizes: set[tuple[int, int]] = set()
        self.raw, self.worst = 0, 0.0
        with av.open(str(path)) as container:
            for av_frame in container.decode(video=0):
                luma = av_frame.to_ndarray(format="gray")
                self.sizes.add((av_frame.width, av_frame.height))
                self.times.append(float(av_frame.time))
                self.numbers.append(number(luma))
                seen = likeness(luma, sides)
                self.worst = max(self.worst, seen)
                self.raw += seen > RAW

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def steps(self) -> np.ndarray:
        """Seconds from frame to frame."""
        return np.diff(self.times)
