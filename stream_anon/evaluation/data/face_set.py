"""Sets of face images in the aligned face space: a tar or a folder, and pairs from a CSV."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
LARGEST = 4 << 20
"""Bytes; a file above it is no image of an aligned face space."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceSet:
    """Images that are decoded when they are asked for.

    Attributes:
        name: of the set, for tables.
        names: file names, sorted, without folders.
    """

    name: str
    names: tuple[str, ...]
    _encoded: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.names)

    def images(self, index: Sequence[int] | NDArray[np.int64]) -> Pixels:
        """Decode some images.

        Returns:
            (n, 128, 128, 3) uint8 RGB. Images of another size are scaled: they are taken to
            show the whole aligned face space.

        Raises:
            InputError: a file is no image.
        """
        return np.stack([self._decode(int(i)) for i in index])

    def _decode(self, i: int) -> Pixels:
        data = np.frombuffer(self._encoded[i], np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise InputError(f"{self.name}: {self.names[i]} is no image")
        if image.shape[:2] != (ALIGNED_SIDE, ALIGNED_SIDE):
            smaller = max(image.shape[:2]) > ALIGNED_SIDE
            how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            image = cv2.resize(image, (ALIGNED_SIDE, ALIGNED_SIDE), interpolation=how)
        return np.ascontiguousarray(image[..., ::-1])

    def people(self) -> NDArray[np.int64]:
        """(n,) the person of each image: the file name up to its last underscore."""
        labels = [PurePosixPath(name).stem.rpartition("_")[0] for name in self.names]
        order = {label: i for i, label in enumerate(sorted(set(labels)))}
        return np.array([order[label] for label in labels], np.int64)

    def subset(self, index: Sequence[int] | NDArray[np.int64]) -> FaceSet:
        """Some of the images, in the order of the index."""
        rows = [int(i) for i in index]
        return FaceSet(
            self.name,
            tuple(self.names[i] for i in rows),
            tuple(self._encoded[i] for i in rows),
        )


def read_faces(path: str | Path) -> FaceSet:
    """Read a tar, or a folder with everything below it.

    Raises:
        InputError: it cannot be read, holds no image, or one name twice.
    """
    path = Path(path)
    found: dict[str, bytes] = {}
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    _add(found, path, file.name, file.read_bytes())
        else:
            # Nothing is unpacked to the disk: names in a tar may point anywhere.
            with tarfile.open(path) as archive:
                for member in archive:
                    name = PurePosixPath(member.name)
                    if not member.isfile() or name.suffix.lower() not in SUFFIXES:
                        continue
                    stream = archive.extractfile(member) if member.size <= LARGEST else None
                    if stream is None:
                        raise InputError(f"{path}: {member.name} is too large for a face image")
                    _add(found, path, name.name, stream.read())
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not found:
        raise InputError(f"{path}: holds no image")
    names = sorted(found)
    return FaceSet(path.stem, tuple(names), tuple(found[name] for name in names))


def _add(found: dict[str, bytes], path: Path, name: str, content: bytes) -> None:
    if name in found:
        raise InputError(f"{path}: two images are called {name}")
    found[name] = content


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of images of one set.

    Attributes:
        fold: (n,) int64.
        a: (n,) int64 rows of the set; the gallery's side.
        b: (n,) int64 rows of the set; the probe's side.
        same: (n,) bool: both show one person.
    """

    fold: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, count: int, seed: int = 0) -> Pairs:
        """At most ``count`` pairs of each kind, the same ones at every call."""
        rng = np.random.default_rng(seed)
        rows = []
        for kind in (True, False):
            index = np.flatnonzero(self.same == kind)
            rows.append(np.sort(rng.permutation(index)[:count]))
        keep = np.concatenate(rows)
        return Pairs(self.fold[keep], self.a[keep], self.b[keep], self.same[keep])


def read_pairs(path: str | Path, faces: FaceSet) -> Pairs:
    """Read ``fold,a,b,same``: a whole number, two file names, 1 or 0.

    Raises:
        InputError: a column or an image is missing, a value makes no sense, an image is paired
            with itself, or one of the two kinds of pairs is missing.
    """
    rows = {name: i for i, name in enumerate(faces.names)}
    fold, a, b, same = [], [], [], []
    try:
        with Path(path).open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if not {"fold", "a", "b", "same"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}: needs the columns fold, a, b, same")
            for number, row in enumerate(reader, start=2):
                if row["a"] not in rows or row["b"] not in rows:
                    missing = row["a"] if row["a"] not in rows else row["b"]
                    raise InputError(f"{path}:{number}: {missing} is not in {faces.name}")
                if row["same"] not in ("0", "1") or row["a"] == row["b"]:
                    raise InputError(f"{path}:{number}: is no pair: {row['a']}, {row['b']}")
                fold.append(int(row["fold"]))
                a.append(rows[row["a"]])
                b.append(rows[row["b"]])
                same.append(row["same"] == "1")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    if not any(same) or all(same):
        raise InputError(f"{path}: needs pairs of one person and pairs of two")
    return Pairs(
        np.array(fold, np.int64),
        np.array(a, np.int64),
        np.array(b, np.int64),
        np.array(same, np.bool_),
    )
