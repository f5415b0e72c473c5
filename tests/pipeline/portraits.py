"""Drawn heads with the statistics of real ones, and what a method that fails may make of a face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.methods.base import Pixels


def portrait(seed: int, side: int = 128) -> Pixels:
    """(side, side, 3) uint8: eyes, brows, nose, mouth and hair, with texture of many scales."""
    draw = np.random.default_rng(seed)
    skin = draw.integers(110, 210) * np.array([1.0, 0.8, 0.7])
    face = np.empty((128, 128, 3))
    face[:] = skin
    _octaves(face, draw)
    eyes, mouth = 59 + draw.normal(0, 2), 100 + draw.normal(0, 2)
    dark, lips = skin * draw.uniform(0.2, 0.4), skin * (0.8, 0.5, 0.5)
    canvas = np.clip(face, 0, 255).astype(np.uint8)
    for x in (46, 81):
        place = (round(x + draw.normal(0, 1)), round(eyes))
        cv2.ellipse(canvas, place, (9, 5), 0, 0, 360, (235, 230, 225), -1, cv2.LINE_AA)
        cv2.circle(canvas, place, 4, tuple(dark.tolist()), -1, cv2.LINE_AA)
        brow = (place[0], place[1] - 11 - int(draw.integers(0, 4)))
        cv2.ellipse(canvas, brow, (12, 3), draw.normal(0, 8), 180, 360, tuple(dark.tolist()), 3)
    cv2.line(canvas, (60, 62), (58, 80), tuple((skin * 0.7).tolist()), 2, cv2.LINE_AA)
    cv2.ellipse(canvas, (64, 82), (8, 4), 0, 0, 180, tuple((skin * 0.5).tolist()), 2, cv2.LINE_AA)
    wide = int(draw.integers(12, 19))
    cv2.ellipse(canvas, (64, round(mouth)), (wide, 5), 0, 0, 360, tuple(lips.tolist()), -1)
    cv2.line(canvas, (64 - wide, round(mouth)), (64 + wide, round(mouth)), (60, 20, 20), 1)
    hair = tuple((skin * draw.uniform(0.1, 0.6)).tolist())
    cv2.ellipse(canvas, (64, 30), (62, 34), 0, 180, 360, hair, -1, cv2.LINE_AA)
    noisy = np.clip(canvas + draw.normal(0, 1.5, canvas.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(noisy, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _octaves(face: NDArray[np.float64], draw: np.random.Generator) -> None:
    for cells, strength in ((3, 22.0), (8, 12.0), (16, 8.0), (32, 4.0), (64, 2.0)):
        coarse = draw.normal(0, strength, (cells, cells, 1)) * np.ones(3)
        face += cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC)


def moved(face: Pixels, x: float = 0.0, y: float = 0.0, turn: float = 0.0, scale: float = 1.0):
    """Shifted by aligned units, turned by degrees, scaled; about the middle."""
    side = len(face)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, scale)
    matrix[:, 2] += (x * side / 128, y * side / 128)
    return cv2.warpAffine(face, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


def striped(face: Pixels, angle: float, period: float = 16.0, level: int = 0) -> Pixels:
    """Stripes over a quarter of it; the period in aligned units, the angle in radians."""
    y, x = np.mgrid[: len(face), : len(face)] * (128 / len(face))
    out = face.copy()
    out[(x * np.cos(angle) + y * np.sin(angle)) % period < period / 4] = level
    return out


def toned(face: Pixels, contrast: float = 1.0, brightness: float = 0.0, gamma: float = 1.0):
    """About mid grey."""
    curve = 255.0 * (np.arange(256) / 255.0) ** gamma
    levels = contrast * (curve - 128.0) + 128.0 + brightness
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)[face]


def noisy(face: Pixels, deviation: float) -> Pixels:
    """With noise of so many levels."""
    noise = np.random.default_rng(0).normal(0, deviation, face.shape)
    return np.clip(face + noise, 0, 255).astype(np.uint8)


def blurred(face: Pixels, deviation: float) -> Pixels:
    """By so many aligned units."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), deviation * len(face) / 128), np.uint8)


ALTERED = {
    "as it is": lambda face: face.copy(),
    "4 levels brighter": lambda face: toned(face, brightness=4),
    "30 levels darker": lambda face: toned(face, brightness=-30),
    "half the contrast": lambda face: toned(face, contrast=0.5),
    "more contrast": lambda face: toned(face, contrast=1.5),
    "gamma 0.6": lambda face: toned(face, gamma=0.6),
    "gamma 1.6": lambda face: toned(face, gamma=1.6),
    "6 to the right": lambda face: moved(face, x=6),
    "6 up": lambda face: moved(face, y=-6),
    "6 aslant": lambda face: moved(face, x=-4.5, y=4.5),
    "3 and -5": lambda face: moved(face, x=3, y=-5),
    "mirrored": lambda face: face[:, ::-1].copy(),
    "mirrored and moved": lambda face: moved(face[:, ::-1].copy(), x=4, y=3),
    "stripes down": lambda face: striped(face, 0.0, level=255),
    "stripes across": lambda face: striped(face, np.pi / 2),
    "stripes aslant": lambda face: striped(face, 0.5, level=128),
    "blurred by 2": lambda face: blurred(face, 2.0),
    "noise of 8": lambda face: noisy(face, 8.0),
    "channels swapped": lambda face: face[..., ::-1].copy(),
    "channels rolled": lambda face: np.roll(face, 1, axis=-1),
    "turned by 4": lambda face: moved(face, turn=4),
    "turned by -8": lambda face: moved(face, turn=-8),
    "smaller": lambda face: moved(face, scale=0.93),
    "larger": lambda face: moved(face, scale=1.08),
    "negative": lambda face: 255 - face,
    "upper half": lambda face: np.concatenate(
        [face[: len(face) // 2], np.full_like(face[len(face) // 2 :], 120)]
    ),
}
"""What a method that does next to nothing may answer, by name: each still shows the face."""
