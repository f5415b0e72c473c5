"""Stand-ins that keep the contracts: frames in plain memory, detectors that do as told."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from stream_anon.detection.types import TrackedFace
from stream_anon.geometry import TEMPLATE, similarity
from stream_anon.media.frame import Frame
from stream_anon.media.output import _encode
from stream_anon.track_state import TrackState, TrackStates

STATES = TrackStates()
"""Of tracks 1, 2, ... in tests of single parts: what one owner keeps in them no other sees."""


def state(track: int = 1) -> TrackState:
    """The state of a track."""
    return STATES.of(track)


class MemoryFrame(Frame):
    """A frame held as RGB, for tests of what happens above the planes."""

    def __init__(self, rgb: np.ndarray, index: int = 0, corrupt: bool = False) -> None:
        self.rgb = rgb
        self.stream, self.index, self.pts = 0, index, index
        self.time_base, self.rate = Fraction(1, 25), Fraction(25)
        self.rotation, self.device = 0, "cpu"
        self.height, self.width = rgb.shape[:2]
        self.corrupt = corrupt

    @property
    def nbytes(self) -> int:
        return self.rgb.nbytes

    def thumbnail(self, width: int, height: int) -> np.ndarray:
        return cv2.resize(self.rgb[..., ::-1], (width, height), interpolation=cv2.INTER_AREA)

    def luma(self, step: int) -> np.ndarray:
        return self.rgb[::step, ::step, 1]

    def motion(self) -> None:
        return None

    def crops(self, transforms: np.ndarray, size: int, extent: float) -> np.ndarray:
        return np.stack(
            [
                cv2.warpAffine(
                    self.rgb,
                    _to_pixels(t, size, extent),
                    (size, size),
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for t in transforms
            ]
        )

    def paste(
        self, crops: np.ndarray, masks: np.ndarray, transforms: np.ndarray, extent: float
    ) -> None:
        for crop, mask, transform in zip(crops, masks, transforms, strict=True):
            size = (self.width, self.height)
            flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
            new = cv2.warpAffine(
                crop,
                _to_pixels(transform, crop.shape[0], extent),
                size,
                flags=flags,
                borderMode=cv2.BORDER_REPLICATE,
            )
            pixels = _to_pixels(transform, mask.shape[0], extent)
            alpha = cv2.warpAffine(mask, pixels, size, flags=flags)
            share = alpha[..., None].astype(np.float32) / 255.0
            self.rgb = np.round(new * share + self.rgb * (1.0 - share)).astype(np.uint8)

    def pixelate(self, blocks: int) -> None:
        rows = max(1, blocks * self.height // self.width)
        small = cv2.resize(self.rgb, (blocks, rows), interpolation=cv2.INTER_AREA)
        size = (self.width, self.height)
        self.rgb = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)

    def blacken(self) -> None:
        self.rgb = np.zeros_like(self.rgb)

    def outline(self, box: np.ndarray) -> None:
        x0, y0, x1, y1 = (int(v) for v in box)
        self.rgb = cv2.rectangle(self.rgb.copy(), (x0, y0), (x1, y1), (0, 255, 0), 1)

    def to_av(self) -> Any:
        return self.rgb


def _to_pixels(transform: np.ndarray, size: int, extent: float) -> np.ndarray:
    """Frame pixels to crop pixels, whose centres lie half a pixel inside the frame."""
    scale = size / extent
    result = transform * scale
    result[:, 2] += 0.5 * scale - 0.5
    return result


def noise(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    """A frame in which every change shows."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def tracked(
    x: float = 100.0, y: float = 80.0, size: float = 60.0, track: int = 1
) -> TrackedFace:
    """An upright face whose frame is ``size`` pixels wide with its corner at (x, y)."""
    landmarks = TEMPLATE * (size / 128.0) + np.array([x, y])
    box = np.array([x + 0.2 * size, y + 0.1 * size, x + 0.8 * size, y + 0.98 * size])
    return TrackedFace(track, similarity(landmarks), box, landmarks, "detected", 0.9)


def detail(rgb: np.ndarray, area: np.ndarray) -> float:
    """What is left of (h, w, 3) inside (h, w) beside a slope of colour: the largest deviation."""
    y, x = np.nonzero(area)
    basis = np.stack([np.ones(len(x)), x, y], axis=1)
    pixels = rgb[area].astype(np.float64)
    fitted = basis @ np.linalg.lstsq(basis, pixels, rcond=None)[0]
    return float((pixels - fitted).std(axis=0).max())


def encode_the_same_twice(monkeypatch: Any) -> None:
    """libx264's macroblock tree is not always the same twice where it runs in vector
    instructions: the same frames, encoded twice, may differ by a level. For tests of something
    else."""
    options = _encode.settings

    def steady(encoder: Any, *asked: Any) -> dict[str, str]:
        plain = {"x264-params": "mbtree=0"} if encoder.name == "libx264" else {}
        return {**options(encoder, *asked), **plain}

    monkeypatch.setattr(_encode, "settings", steady)
