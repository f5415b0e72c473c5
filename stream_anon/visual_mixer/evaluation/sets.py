"""Labelled images for the mixer's measurements, with fixed splits, and their mixed copies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError
from stream_anon.evaluation.data.face_set import read_faces
from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer.mix import mix

Pixels = NDArray[np.uint8]

AGE_BANDS = (26, 36, 51)
"""Lowest age of the second, third and fourth band: about a quarter of the set each."""

MARGIN = 8
"""Cut from every side of a 128 px image: 112 px are left, and windows of 8 px stay whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images with labels; the first ``train`` rows are for training.

    Attributes:
        name: of the set.
        images: (n, s, s, 3) uint8 RGB.
        labels: (n, tasks) int64.
        tasks: name of each task.
        classes: number of classes of each task.
        train: rows for training; the rest is for testing.
    """

    name: str
    images: Pixels
    labels: NDArray[np.int64]
    tasks: tuple[str, ...]
    classes: tuple[int, ...]
    train: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How images are mixed.

    Attributes:
        vfe: target; None is the full shuffle.
        smallest: smallest window; None is the default, half a region's side.
        channels: greatest share of channel changes.
        region: side of a region; None by the image's size.
    """

    vfe: float | None
    smallest: int | None = None
    channels: float = 1.0
    region: int | None = None

    def __str__(self) -> str:
        name = "full shuffle" if self.vfe is None else f"VFE {self.vfe:g}"
        if self.smallest is not None:
            name += f", windows from {self.smallest}"
        if self.channels != 1.0:
            name += f", channels {self.channels:g}"
        if self.region is not None:
            name += f", regions of {self.region}"
        return name


def mixed(images: Pixels, recipe: Recipe | None) -> tuple[Pixels, float]:
    """Mixed copies, each with a fresh key of the operating system, and their mean VFE.

    Args:
        images: (n, h, w, 3) uint8 RGB.
        recipe: None leaves them clear, with a VFE of 0.
    """
    if recipe is None:
        return images, 0.0
    result, total = np.empty_like(images), 0.0
    for i, image in enumerate(images):
        one = mix(
            image,
            os.urandom(KEY_BYTES),
            recipe.vfe,
            region=recipe.region,
            smallest=recipe.smallest,
            channels=recipe.channels,
        )
        result[i] = one.image
        total += one.vfe
    return result, total / len(images)


def cut(images: Pixels) -> Pixels:
    """The middle 112 px of 128 px images."""
    return np.ascontiguousarray(images[:, MARGIN:-MARGIN, MARGIN:-MARGIN])


def read_utk(folder: Path, train: int, test: int) -> Labelled:
    """Gender and age band of the UTK images (file name: age_gender_race_date).

    Raises:
        InputError: the set is not there or holds fewer images.
    """
    found: dict[str, tuple[int, int]] = {}
    sets = [read_faces(path) for path in sorted(folder.glob("utk_128_*.tar"))]
    for part in sets:
        for row, name in enumerate(part.names):
            found[name] = (sets.index(part), row)
    # Split by the name's hash: the same one everywhere, whatever the order of the files.
    names = sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(names) < train + test:
        raise InputError(f"{folder}: {train + test} UTK images are needed, {len(names)} are there")
    names = names[: train + test]
    images = np.concatenate([sets[s].images([r]) for s, r in (found[n] for n in names)])
    parts = [name.split("_") for name in names]
    labels = np.array([(int(p[1]), np.digitize(int(p[0]), AGE_BANDS)) for p in parts], np.int64)
    return Labelled("UTK", images, labels, ("gender", "age band"), (2, 4), train)


def read_digits() -> Labelled:
    """scikit-learn's 1,797 digits (8 x 8), enlarged to 32 x 32.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise InputError("the digits come with scikit-learn, which is not installed") from error
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    grey = np.clip(data.images[order] * 255.0 / 16.0, 0, 255).astype(np.uint8)
    large = [cv2.resize(g, (32, 32), interpolation=cv2.INTER_CUBIC) for g in grey]
    images = np.repeat(np.stack(large)[..., None], 3, axis=3)
    labels = data.target[order].astype(np.int64)[:, None]
    return Labelled("digits", np.ascontiguousarray(images), labels, ("digit",), (10,), 1297)
