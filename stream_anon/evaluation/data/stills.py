"""Methods applied to still aligned face images, by the compositor that ships.

An image that already lies in the aligned face space is made a frame of a video (4:4:4, its
reflection around it, as a face has surroundings), its landmarks are handed over as an analyzer
hands over what it found, and the compositor paints it: masks, likeness, covers and what a method
needs beside its crop are those of a run, since there is no other code that does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.config import FaultConfig
from stream_anon.geometry import ALIGNED_SIDE, FACE_BOX, MASK_CENTRE, MASK_SEMI_AXES, TEMPLATE
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.frame import Frame
from stream_anon.methods import Method
from stream_anon.pipeline.analysis import Analyzed
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.regions import FACE, Region, Regions

Pixels = NDArray[np.uint8]
Landmarks = NDArray[np.float64]

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

AROUND = 64
"""Pixels of reflection on every side of an image: covers and wide crops reach over it."""

SCORE = 0.9
"""Of the detection that an image stands for."""

TICK = Fraction(1)
"""Seconds between two images: so far apart that nothing is carried from one to the next."""

_SHAPE = 2.0 * np.array(MASK_SEMI_AXES)
SIDES = _SHAPE * FACE_BOX / np.sqrt(_SHAPE.prod())
"""Sides in pixels of an aligned face's box, of the mask's proportions: its ellipse lies inside the
mask. The face box fills about 92 of the crop's 128 units (YuNet's median on LFW)."""


@dataclass(frozen=True, slots=True, eq=False)
class Stills:
    """Anonymised images.

    Attributes:
        images: (n, 128, 128, 3) uint8 RGB.
        filled: (n,) bool; the method declined or was rejected, and the cover was painted.
    """

    images: Pixels
    filled: NDArray[np.bool_]


class KnownFaces:
    """An analyzer that is told: images in, frames with one face each at a known place out.

    Args:
        landmarks: (n, 5, 2) aligned units.
        first_track: track number of the first image; each has its own.
    """

    def __init__(self, landmarks: Landmarks, first_track: int = 1) -> None:
        self._landmarks = landmarks
        self._first = first_track

    def push(self, frame: Frame) -> Iterator[Analyzed]:
        """The frame of the image of that number, and its face."""
        middle = np.array(MASK_CENTRE) + AROUND
        x0, y0 = map(float, middle - SIDES / 2)
        x1, y1 = map(float, middle + SIDES / 2)
        known = self._landmarks[frame.index] + AROUND
        points = tuple((float(x), float(y)) for x, y in known)
        track = str(self._first + frame.index)
        face = Region(track, FACE, (x0, y0, x1, y1), points, SCORE, "detected")
        yield Analyzed(frame, Regions(frame.key, (face,), ended=(track,)))


def anonymise(
    method: Method,
    images: Pixels,
    landmarks: Landmarks | None = None,
    first_track: int = 1,
    models_dir: Path | None = None,
) -> Stills:
    """Apply a method to aligned face images, each of them another person.

    Args:
        method: under test; not closed.
        images: (n, 128, 128, 3) uint8 RGB.
        landmarks: (n, 5, 2) aligned units; None takes the template's.
        first_track: track number of the first image.
        models_dir: where the mesh network is looked for first, for a method that wants meshes.

    Raises:
        Fault: the method answered with something that breaks its contract.
    """
    n = len(images)
    points = np.broadcast_to(TEMPLATE, (n, 5, 2)) if landmarks is None else landmarks
    out = images.copy()
    filled = np.zeros(n, np.bool_)
    compositor = Compositor(method, FaultConfig(policy="stop"), models_dir=models_dir)
    analyzer = KnownFaces(points, first_track)
    try:
        for i, image in enumerate(images):
            frame = as_frame(image, i)
            before = plain(frame)
            for analyzed in analyzer.push(frame):
                covers = compositor.fallbacks.faces
                compositor.paint(frame, analyzed.regions)
                compositor.end([int(track) for track in analyzed.regions.ended])
                filled[i] = compositor.fallbacks.faces > covers
            after = plain(frame)
            # What was not painted is the image's own, without the way through YCbCr.
            painted = (after != before).any(axis=2)
            out[i][painted] = after[painted]
    finally:
        compositor.states.clear()
    return Stills(out, filled)


def as_frame(image: Pixels, index: int) -> CpuFrame:
    """An aligned image (128, 128, 3) RGB as a frame of a video, full range 4:4:4."""
    around = cv2.copyMakeBorder(image, *(AROUND,) * 4, borderType=cv2.BORDER_REFLECT_101)
    made = av.VideoFrame.from_ndarray(np.asarray(around, np.uint8), format="rgb24")
    decoded = made.reformat(format="yuvj444p", dst_colorspace="ITU601", dst_color_range="JPEG")
    return CpuFrame(decoded, index=index, pts=index, time_base=TICK)


def plain(frame: Frame) -> Pixels:
    """The image (128, 128, 3) RGB in the middle of a frame of ``as_frame``."""
    shift = np.array([[[1.0, 0.0, -AROUND], [0.0, 1.0, -AROUND]]])
    image: Pixels = frame.crops(shift, ALIGNED_SIDE, ALIGNED_SIDE)[0]
    return image


def blend(
    image: Pixels, crop: Pixels, mask: Pixels, alignment: NDArray[np.float64] = IDENTITY
) -> Pixels:
    """Alpha blend of a crop and its mask, both over ``alignment``; 255 in the mask replaces."""
    side = image.shape[0]
    new, alpha = scaled(crop, side), scaled(mask, side)
    if alignment is not IDENTITY:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        new = np.asarray(
            cv2.warpAffine(
                new, alignment, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
        )
        alpha = np.asarray(cv2.warpAffine(alpha, alignment, (side, side), flags=flags))
    share = alpha.astype(np.float32)[..., None] / 255.0
    return np.asarray(np.rint(image * (1.0 - share) + new.astype(np.float32) * share), np.uint8)


def scaled(image: Pixels, side: int) -> Pixels:
    """A square image or mask at another side, both over the same extent."""
    if image.shape[0] == side:
        return image
    how = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.uint8)


def in_batches(count: int, size: int) -> Sequence[slice]:
    """Slices that cover 0..count."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
