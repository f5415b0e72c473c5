"""Make a new face belong to its surroundings: hues, colour and light, then grain.

All of it looks only at what stays visible around the minimum ellipse. What is under it must not
shape the result in any other way than through the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.geometry import ALIGNED_SIDE, MASK_SEMI_AXES, mask_radius
from stream_anon.methods.base import Pixels

Floats = NDArray[np.float32]

COARSE = 32
"""Side at which differences of colour are carried inwards."""

FADE = 0.004
"""Weight of no change at all: the further from the edge, the more the new face keeps its own."""

LIGHT = 32.0
"""Difference in levels that is corrected most (by half of it). More of it is no light but a hair
line or a wall that stands elsewhere, and carried inwards it would stain the face."""

MAX_SHARPENING = 0.5
"""Most of what skin in a close-up gains in contrast at its edges, of its own fine detail. Drawn
hair has too much of that already."""

CLOSE = (1.3, 2.3)
"""Frame pixels for one of the aligned face space's from which a face is a close-up, and wholly
one."""

HUES = 16
"""Side at which it is looked up which hues there are."""

OTHER_HUE = 6
"""Levels of Cr and Cb by which hair and outline may go beyond the hues around them."""

SKIN = (0.7, 0.95)
"""Radius in minimum ellipses up to which a drawing is skin; hair and outline from the second on."""

MIDDLE = 0.42
"""Likewise up to which a face's tone is read."""

TONE_STEP = 8.0
"""Levels in which one look reads it; a track's average over looks is finer."""

TONED_UP_TO = (0.6, 0.85)
"""Radius up to which it is given to a drawing, and at which there is nothing of it left."""

TONED = 0.85
"""Share of a difference in tone that is made good."""

GAINS = (0.55, 1.8)
"""Least and most factor on a channel."""

STROKE = 2.0
"""Standard deviation in aligned units of what is taken off a stroke to find it."""

REACH = 12.0
"""Likewise of how far it is looked for what the surroundings have."""

LEAST_STROKE = 1.5
"""Mean level of strokes that is never calmed."""

LARGEST_GRAIN = 6.0
"""Standard deviation in levels that grain is limited to."""


_OTHER = np.array([255, OTHER_HUE, OTHER_HUE], np.int16)
_LEVELS = np.arange(256, dtype=np.uint8)[:, None, None]


@lru_cache(maxsize=1)
def _zones() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells (HUES, HUES) lie whole outside the minimum ellipse, and which in the skin."""
    cell = ALIGNED_SIDE / HUES
    place = (np.arange(HUES) + 0.5) * cell - 0.5
    x, y = np.meshgrid(place, place)
    radius = mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(HUES, HUES)
    return radius > 1.0 + cell / min(MASK_SEMI_AXES), radius < SKIN[0]


@lru_cache(maxsize=2)
def _outline(side: int) -> tuple[Floats, Floats]:
    """How far a pixel (side, side) is hair or outline, from 0 to 1; and 1 less that."""
    share = np.clip((_radius(side) - SKIN[0]) / (SKIN[1] - SKIN[0]), 0.0, 1.0).astype(np.float32)
    return share, np.asarray(1.0 - share, np.float32)


def sharpen(faces: Pixels, scales: Sequence[float]) -> Pixels:
    """Sharpen skin that will be enlarged: what is shown at its size is left as it is.

    Args:
        faces: (n, s, s, 3) uint8.
        scales: n, frame pixels for one of the aligned face space's.

    Returns:
        (n, s, s, 3) uint8.
    """
    out = faces.copy()
    share, rest = _outline(faces.shape[1])
    for face, into, scale in zip(faces, out, scales, strict=True):
        amount = MAX_SHARPENING * min(1.0, (scale - CLOSE[0]) / (CLOSE[1] - CLOSE[0]))
        if amount > 0.0:
            soft = cv2.GaussianBlur(face, (0, 0), 1.2, borderType=cv2.BORDER_REPLICATE)
            sharp = cv2.addWeighted(face, 1.0 + amount, soft, -amount, 0.0)
            cv2.blendLinear(face, sharp, share, rest, dst=into)
    return out


def clamp_chroma(faces: Pixels, crops: Pixels) -> Pixels:
    """Take hues out of drawn hair and outlines that neither surroundings nor drawn skin have.

    Before a wall of one strong colour a generator draws hair in the opposite one. In a grey
    frame the hair is grey.

    Args:
        faces: (n, s, s, 3) uint8 RGB, new.
        crops: (n, s, s, 3) uint8 RGB, old.

    Returns:
        (n, s, s, 3) uint8.
    """
    outside, skin = _zones()
    share, rest = _outline(faces.shape[1])
    result = np.empty_like(faces)
    for face, crop, into in zip(faces, crops, result, strict=True):
        small = (HUES, HUES)
        around = cv2.resize(crop, small, interpolation=cv2.INTER_AREA)[outside]
        generated = cv2.resize(face, small, interpolation=cv2.INTER_AREA)[skin]
        known = cv2.cvtColor(np.concatenate([around, generated])[None], cv2.COLOR_RGB2YCrCb)[0]
        # Any brightness will do.
        bounds = np.stack([known.min(0) - _OTHER, known.max(0) + _OTHER])
        low, high = bounds.clip(0, 255).astype(np.uint8)
        table = np.clip(_LEVELS, low, high)
        hues = cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb)
        kept = cv2.LUT(hues, table)
        cv2.cvtColor(cv2.blendLinear(hues, kept, rest, share), cv2.COLOR_YCrCb2RGB, dst=into)
    return result


def calm_strokes(faces: Pixels, crops: Pixels) -> Pixels:
    """Limit fine strokes of drawn hair and outlines to what the surroundings have of them.

    A generator etches: curls, lace and scales where hair meets a wall. How much fine detail there
    is outside the ellipse is carried inwards, and what a drawing has beyond that is softened.

    Args:
        faces: (n, s, s, 3) uint8, new.
        crops: (n, s, s, 3) uint8, old; only what lies outside the minimum ellipse is looked at.

    Returns:
        (n, s, s, 3) uint8.
    """
    side = faces.shape[1]
    outside = (~minimum_interior(side)).astype(np.float32)
    share = _strokes(side)
    small, cell = (COARSE, COARSE), ALIGNED_SIDE / COARSE
    sigma = STROKE * side / ALIGNED_SIDE
    known = cv2.GaussianBlur(
        cv2.resize(outside, small, interpolation=cv2.INTER_AREA), (0, 0), REACH / cell
    )
    out = np.empty_like(faces)
    for face, crop, into in zip(faces, crops, out, strict=True):
        soft = cv2.GaussianBlur(face, (0, 0), sigma)
        found = cv2.resize(_grey_apart(face, soft), small, interpolation=cv2.INTER_AREA)
        there = _grey_apart(crop, cv2.GaussianBlur(crop, (0, 0), sigma)) * outside
        allowed = cv2.resize(there, small, interpolation=cv2.INTER_AREA)
        allowed = cv2.GaussianBlur(allowed, (0, 0), REACH / cell)
        allowed = allowed / np.maximum(known, 1e-3)
        lost: Any = 1.0 - np.minimum(1.0, (allowed + LEAST_STROKE) / np.maximum(found, 1e-3))
        lost = cv2.resize(lost, (side, side), interpolation=cv2.INTER_LINEAR) * share
        cv2.blendLinear(soft, face, lost, 1.0 - lost, dst=into)
    return out


def _grey_apart(one: Pixels, other: Pixels) -> Floats:
    """Difference (s, s) of two frames in levels of luma, float32."""
    return np.asarray(cv2.cvtColor(cv2.absdiff(one, other), cv2.COLOR_RGB2GRAY), np.float32)


@lru_cache(maxsize=2)
def _strokes(side: int) -> Floats:
    """Where strokes are calmed (side, side): outline, hair and forehead, no eye and no mouth."""
    place = np.arange(side, dtype=np.float64) * (ALIGNED_SIDE / side)
    x, y = np.meshgrid(place, place)
    away = np.hypot((x - 64.0) / 24.0, (y - 77.0) / 27.0)
    return np.asarray(np.clip((away - 0.85) / 0.3, 0.0, 1.0), np.float32)


def match_light(faces: Pixels, crops: Pixels, masks: Pixels) -> Pixels:
    """Carry the difference of colour along the mask's edge smoothly into the new face.

    A membrane in the manner of seamless cloning (Perez et al., SIGGRAPH 2003; the weights of
    Farbman et al., SIGGRAPH 2009, approximated by normalised convolution on three scales).

    Args:
        faces: (n, s, s, 3) uint8 RGB, new.
        crops: (n, s, s, 3) uint8 RGB, old.
        masks: (n, s, s) uint8, 255 where the new face will stand.

    Returns:
        (n, s, s, 3) uint8.
    """
    result = np.empty_like(faces)
    side = faces.shape[1]
    visible = (~minimum_interior(side)).astype(np.float32)
    for i, (face, crop, mask) in enumerate(zip(faces, crops, masks, strict=True)):
        # The band in which both are seen: outside the ellipse, where the new face still shows.
        band = visible * (mask > 16)
        weight = cv2.resize(band, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
        if float(weight.sum()) < 1.0:
            result[i] = face
            continue
        difference = cv2.subtract(crop, face, dtype=cv2.CV_32F) * band[..., None]
        coarse = cv2.resize(difference, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
        apart = coarse / np.maximum(weight, 1e-3)[..., None]
        membrane = _membrane(coarse / (1.0 + np.square(apart / LIGHT)), weight)
        full = cv2.resize(membrane, (side, side), interpolation=cv2.INTER_LINEAR)
        cv2.add(face, full, dst=result[i], dtype=cv2.CV_8U)
    return result


def _membrane(weighted: Floats, weight: Floats) -> Floats:
    """Near the edge the nearest difference, further in ever less of the mean of the edge."""
    total, mass = np.zeros_like(weighted), np.zeros_like(weight)
    for sigma, share in ((1.5, 1.0), (4.0, 0.05), (10.0, 0.002)):
        total += share * cv2.GaussianBlur(weighted, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        mass += share * cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / (mass + FADE)[..., None], np.float32)


def tone_of(crops: Pixels) -> Floats:
    """What colour faces have, coarsely: (n, 3) float32 levels, means over the middle of the
    minimum ellipse in steps of ``TONE_STEP``."""
    middle = _radius(crops.shape[1]) < MIDDLE
    means = np.stack([crop[middle].mean(axis=0) for crop in crops])
    return np.asarray(np.rint(means / TONE_STEP) * TONE_STEP, np.float32)


def match_tone(faces: Pixels, tones: Floats) -> Pixels:
    """Give drawn skin the tone of what stays visible beside it, hands and neck.

    The generator is told a plane of colours, in which dark hair makes a face dark.

    Args:
        faces: (n, s, s, 3) uint8, new.
        tones: (n, 3) levels, from ``tone_of``.

    Returns:
        (n, s, s, 3) uint8.
    """
    radius = _radius(faces.shape[1])
    middle = radius < MIDDLE
    share = np.clip((TONED_UP_TO[1] - radius) / (TONED_UP_TO[1] - TONED_UP_TO[0]), 0.0, 1.0)
    out = np.empty_like(faces)
    for face, tone, into in zip(faces, tones, out, strict=True):
        gain = (tone + 1.0) / (face[middle].mean(axis=0) + 1.0)
        gain = 1.0 + TONED * (np.clip(gain, *GAINS) - 1.0)
        toned = face * gain.astype(np.float32)
        mixed = face + share[..., None] * (toned - face)
        into[:] = np.clip(np.rint(mixed), 0, 255)
    return out


@lru_cache(maxsize=2)
def _radius(side: int) -> Floats:
    """Distance of pixels (side, side) from the centre, in minimum ellipses."""
    place = np.arange(side, dtype=np.float64) * (ALIGNED_SIDE / side)
    x, y = np.meshgrid(place, place)
    found = mask_radius(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(side, side)
    return np.asarray(found, np.float32)


def grain_of(crops: Pixels) -> Floats:
    """Standard deviation of the fine noise around the ellipse, in levels; (n,) float32.

    The median absolute deviation of the Laplacian (Immerkaer, CVIU 1996), which edges and
    texture hardly move.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    outside = ~minimum_interior(crops.shape[1])
    found = np.empty(len(crops), np.float32)
    for i, crop in enumerate(crops):
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
        # Every other row tells as much.
        fine = cv2.filter2D(grey, -1, kernel)[::2][outside[::2]]
        found[i] = np.median(np.abs(fine)) / (0.6745 * 6.0)
    return found


def missing_grain(faces: Pixels, crops: Pixels) -> Floats:
    """The grain, in levels, that new faces lack against the surroundings of the old; (n,)."""
    wanted, given = grain_of(crops), grain_of(faces)
    lacking = np.sqrt(np.clip(wanted**2 - given**2, 0.0, LARGEST_GRAIN**2))
    return np.asarray(lacking, np.float32)


def add_grain(faces: Pixels, levels: Floats, tile: Floats) -> Pixels:
    """Give new faces the grain that their surroundings have and they lack.

    Args:
        faces: (n, s, s, 3) uint8.
        levels: (n,) from ``missing_grain``.
        tile: (s, s) float32 of unit variance, from a cryptographic generator.
    """
    if not levels.any():
        return faces
    out = np.empty_like(faces)
    for i, (face, level) in enumerate(zip(faces, levels, strict=True)):
        grain = cv2.merge([np.rint(tile * level).astype(np.int16)] * 3)
        out[i] = cv2.add(face, grain, dtype=cv2.CV_8U)
    return out
