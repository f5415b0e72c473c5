"""Methods applied to still aligned face images, by the arithmetic that ships.

An image that already lies in the aligned face space has the identity transform, so cutting and
pasting come down to scaling and one alpha blend. Masks are raised to the minimum mask, answers are
held against the method contract, and what the gate would reject or the method declines gets the
grown solid cover, as in a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.align import widen_all
from stream_anon.alignment.masks import at_least_minimum
from stream_anon.alignment.mesh import PRESENT, FaceMesh
from stream_anon.errors import ModelError
from stream_anon.geometry import ALIGNED_SIDE, TEMPLATE, apply
from stream_anon.methods import Fill, Method, Subject
from stream_anon.methods.soft_cover import GROWTH as SOFT_GROWTH
from stream_anon.methods.soft_cover import SoftCover, soft_mask
from stream_anon.pipeline.painting.checks import check_rendered
from stream_anon.pipeline.painting.likeness import unchanged
from stream_anon.pipeline.painting.targets import COVER_GROWTH, grown
from stream_anon.tracking.mesh_track import told

Pixels = NDArray[np.uint8]
Landmarks = NDArray[np.float64]

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True, eq=False)
class Stills:
    """Anonymised images.

    Attributes:
        images: (n, 128, 128, 3) uint8 RGB.
        filled: (n,) bool; the method declined or was rejected, and the cover was painted.
    """

    images: Pixels
    filled: NDArray[np.bool_]


def anonymise(
    method: Method,
    images: Pixels,
    landmarks: Landmarks | None = None,
    first_track: int = 1,
    same_track: bool = False,
    models_dir: Path | None = None,
) -> Stills:
    """Apply a method to aligned face images.

    Args:
        method: under test.
        images: (n, 128, 128, 3) uint8 RGB.
        landmarks: (n, 5, 2) aligned units; None takes the template's.
        first_track: track number of the first image.
        same_track: all images are of one track (one draw); else each has its own.
        models_dir: where the mesh network is looked for first, for a method that wants meshes.

    Raises:
        Fault: the method answered with something that breaks its contract.
    """
    n = len(images)
    points = np.broadcast_to(TEMPLATE, (n, 5, 2)) if landmarks is None else landmarks
    out = images.copy()
    filled = np.zeros(n, np.bool_)
    finder = _finder(method, models_dir)
    for i in range(n):
        track = first_track if same_track else first_track + i
        # The face box fills about 92 of the crop's 128 units (YuNet's median on LFW).
        alignment = IDENTITY
        if method.crop_scale is not None:
            alignments, _ = widen_all(
                IDENTITY[None], np.asarray(points[i : i + 1]), method.crop_scale
            )
            alignment = alignments[0]
        places = apply(alignment, np.asarray(points[i], np.float64))
        mesh, presence = None, None
        if finder is not None:
            found, seen = finder(images[i : i + 1])
            presence = float(seen[0])
            if presence >= PRESENT:
                mesh = told(found[0].astype(np.float64), alignment)
        subject = Subject(
            track=track, landmarks=places, size=92.0, score=0.9, mesh=mesh, presence=presence
        )
        crop = scaled(through(images[i], alignment), method.crop_size)[None]
        rendered = method.render(crop, [subject])
        check_rendered(rendered, 1, method.name)
        declined = rendered.declined is not None and bool(rendered.declined[0])
        filled[i] = declined or bool(unchanged(crop, rendered.crops)[0])
        if filled[i]:
            out[i] = (soft if declined else cover)(images[i], subject)
        else:
            mask = at_least_minimum(rendered.masks, 1, rendered.crops.shape[1])
            out[i] = blend(images[i], rendered.crops[0], mask[0], alignment)
        if not same_track:
            method.forget(track)
    return Stills(out, filled)


def cover(image: Pixels, subject: Subject) -> Pixels:
    """The ladder's solid cover on one aligned face image."""
    fill = Fill(slope=True)
    matrix = grown(IDENTITY.copy(), COVER_GROWTH)
    crop = through(image, matrix)
    painted = fill.render(scaled(crop, fill.crop_size)[None], [subject]).crops[0]
    return blend(image, painted, at_least_minimum(None, 1, ALIGNED_SIDE)[0], matrix)


def _finder(method: Method, models_dir: Path | None) -> FaceMesh | None:
    """The mesh network, as the pipeline has it."""
    if not method.meshed:
        return None
    try:
        finder = FaceMesh(models_dir)
    except ModelError:
        if method.needs_mesh:
            raise
        return None
    method.judge_with(finder)
    return finder


def soft(image: Pixels, subject: Subject) -> Pixels:
    """The cover of a face that the method declined."""
    method = SoftCover()
    matrix = grown(IDENTITY.copy(), SOFT_GROWTH)
    crop = scaled(through(image, matrix), method.crop_size)
    rendered = method.render(crop[None], [subject])
    return blend(image, rendered.crops[0], soft_mask(), matrix)


def through(image: Pixels, alignment: NDArray[np.float64]) -> Pixels:
    """What an aligned face image shows in another crop; beyond its border, its reflection."""
    side = (ALIGNED_SIDE, ALIGNED_SIDE)
    if alignment is IDENTITY:
        return image
    border = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(image, alignment, side, borderMode=border), np.uint8)


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
