"""What attackers get out of mixed faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation.attackers.recogniser import Recogniser
from stream_anon.evaluation.data.face_set import FaceSet, Pairs
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.scores import Estimate, accepted, equal_error, share, threshold_at
from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer.evaluation.sets import Recipe, mixed
from stream_anon.visual_mixer.layout import layout
from stream_anon.visual_mixer.mix import mix, vfe

Pixels = NDArray[np.uint8]
Embeddings = NDArray[np.float32]

FAR = 1e-3
SMOOTHING = 3.0
"""Standard deviation in pixels of the blur that undoes what a mean can undo of 8 px windows."""


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Clear images as one recogniser sees them.

    Attributes:
        attacker: the recogniser.
        clear: (n, d) embeddings, row by row of the set; zero where no pair needs them.
        threshold: at ``FAR`` on the clear pairs of two people.
        tar: true accept rate of the clear pairs.
    """

    attacker: Recogniser
    clear: Embeddings
    threshold: float
    tar: Estimate


def gallery(attacker: Recogniser, faces: FaceSet, pairs: Pairs, folder: Path) -> Gallery:
    """Embed what the pairs need, or read it from the folder."""
    file = folder / f"clear_{attacker.fingerprint}_{len(faces)}.npy"
    if file.is_file():
        clear = np.load(file)
    else:
        rows = np.unique(np.concatenate([pairs.a, pairs.b]))
        clear = np.zeros((len(faces), attacker.spec.dimension), np.float32)
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            clear[part] = attacker.embed(faces.images(part))
        np.save(file, clear)
    scores = (clear[pairs.a] * clear[pairs.b]).sum(axis=1)
    threshold = threshold_at(scores[~pairs.same], FAR)
    return Gallery(attacker, clear, threshold, accepted(scores[pairs.same], threshold))


def verification(
    known: Gallery, probes: Pixels, rows: NDArray[np.int64], pairs: Pairs
) -> tuple[Estimate, float]:
    """TAR at the clear threshold and equal error rate: clear gallery, changed probes.

    Args:
        known: the clear side.
        probes: (m, 128, 128, 3) uint8 RGB, the changed images of ``rows``.
        rows: rows of the set.
        pairs: whose ``b`` lies in ``rows``.
    """
    return compared(known, known.attacker.embed(probes), rows, pairs)


def compared(
    known: Gallery, codes: Embeddings, rows: NDArray[np.int64], pairs: Pairs
) -> tuple[Estimate, float]:
    """As ``verification``, with the probes' embeddings."""
    place = {int(row): i for i, row in enumerate(rows)}
    at = np.array([place[int(b)] for b in pairs.b])
    scores = (known.clear[pairs.a] * codes[at]).sum(axis=1)
    genuine, impostor = scores[pairs.same], scores[~pairs.same]
    return accepted(genuine, known.threshold), equal_error(genuine, impostor)


def probed(
    clear: Pixels,
    rows: NDArray[np.int64],
    pairs: Pairs,
    recipe: Recipe | None,
    galleries: Sequence[Gallery],
    finder: Finder,
    shown: int,
) -> dict[str, Any]:
    """One mixing of the probes and what recognisers and a detector make of it.

    Args:
        clear: (m, 128, 128, 3) uint8 RGB, the images of ``rows``.
        rows: rows of the set.
        pairs: whose ``b`` lies in ``rows``.
        recipe: how they are mixed; None leaves them clear.
        galleries: the clear side of every recogniser.
        finder: the detector.
        shown: images shown to it.

    Returns:
        ``vfe``, and by recogniser ``tar``, ``eer``, both ``blurred``, ``clear tar``; the
        detector's recall. Rates are an ``Estimate``.
    """
    probes, mean_vfe = mixed(clear, recipe)
    result: dict[str, Any] = {"vfe": mean_vfe or float(np.mean([vfe(p) for p in clear]))}
    blurred = smoothed(probes)
    for known in galleries:
        for how, images in (("", probes), (" blurred", blurred)):
            tar, eer = verification(known, images, rows, pairs)
            result[f"tar {known.attacker.name}{how}"] = tar
            result[f"eer {known.attacker.name}{how}"] = eer
        result[f"clear tar {known.attacker.name}"] = known.tar
    result["detector recall"] = found(finder, list(probes[:shown]))
    return result


def without(pairs: Pairs, taken: Pairs, count: int) -> Pairs:
    """Pairs that are not among those taken: ``count`` of one person, a third as many of two."""
    used = set(zip(taken.a.tolist(), taken.b.tolist(), strict=True))
    free = [(a, b) not in used for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)]
    draw = np.random.default_rng(1)
    rows = []
    for kind, most in ((True, count), (False, count // 3)):
        index = np.flatnonzero(np.array(free) & (pairs.same == kind))
        rows.append(np.sort(draw.permutation(index)[:most]))
    keep = np.concatenate(rows)
    return Pairs(pairs.fold[keep], pairs.a[keep], pairs.b[keep], pairs.same[keep])


def smoothed(images: Pixels) -> Pixels:
    """Blurred, which is the first thing to try against a shuffle."""
    return np.stack([cv2.GaussianBlur(p, (0, 0), SMOOTHING) for p in images])


def found(finder: Finder, images: Sequence[Pixels]) -> Estimate:
    """Share of aligned face images in which a detector finds a face in its place."""
    return share(sum(finder.aligned(p) is not None for p in images), len(images))


def recovered(images: Pixels, known: int, *, reuse: bool) -> float:
    """Share of the pixels of an unseen image that known pairs put back in place.

    The attacker has ``known`` pairs of clear and mixed images. In each window's region he
    matches every output pixel with the input pixels whose values agree in *all* pairs, and
    undoes the last image with what he found.

    Args:
        images: (known + 1, h, w, 3) uint8 RGB; the last one is attacked.
        known: number of pairs.
        reuse: one permutation for all images, or a fresh one for each.
    """
    first = mix(images[0], os.urandom(KEY_BYTES), None)
    index = [first.index if reuse else mix(p, os.urandom(KEY_BYTES), None).index for p in images]
    outputs = [np.take(p, i).reshape(p.shape) for p, i in zip(images, index, strict=True)]
    # The channel order is unknown: a pixel's three values are compared as a set.
    inside = np.sort(images[:known].astype(np.int64), axis=3) @ np.array([1, 256, 65536])
    outside = np.sort(np.stack(outputs[:known]).astype(np.int64), axis=3) @ np.array(
        [1, 256, 65536]
    )
    height, width = images.shape[1:3]
    side = layout(height, width).region
    truth = (index[-1][::3] // 3).reshape(height, width)
    right = 0
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = slice(top, top + side), slice(left, left + side)
            before = inside[(slice(None), *window)].reshape(known, -1).T
            after = outside[(slice(None), *window)].reshape(known, -1).T
            same = (after[:, None, :] == before[None, :, :]).sum(axis=2)
            # The best match; among equals the first, which is as good a guess as any.
            guess = same.argmax(axis=1)
            y, x = np.divmod(guess, min(side, width - left))
            right += int(((top + y) * width + left + x == truth[window].ravel()).sum())
    count: int = height * width
    return right / count


def own_threshold(
    known: Gallery, codes: Embeddings, rows: NDArray[np.int64], pairs: Pairs, far: float
) -> Estimate:
    """TAR at a threshold that the attacker sets on changed images of other pairs of people."""
    place = {int(row): i for i, row in enumerate(rows)}
    at = np.array([place[int(b)] for b in pairs.b])
    scores = (known.clear[pairs.a] * codes[at]).sum(axis=1)
    return accepted(scores[pairs.same], threshold_at(scores[~pairs.same], far))


def psnr(images: Pixels, clear: Pixels) -> float:
    """Peak signal to noise ratio in dB over all images."""
    error = float(np.mean((images.astype(np.float32) - clear.astype(np.float32)) ** 2))
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-9)))
