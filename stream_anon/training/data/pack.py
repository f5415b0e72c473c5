"""Data packs: faces from folders and tars, cut to the aligned face space once, kept as bytes.

A pack is a folder of arrays: the images in the aligned face space, five landmarks each, and
which pixels are real (a tight chip covers only a part of the crop). Training
reads packs only, so a run never touches the original files again.
"""

from __future__ import annotations

import io
import logging
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.methods.generative.bottleneck import SIZE, TEMPLATE

log = logging.getLogger(__name__)

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Pack:
    """Faces in the aligned face space.

    Attributes:
        images: uint8 RGB (n,128,128,3); 0 where not valid.
        valid: bool (n,128,128).
        landmarks: float32 (n,5,2), aligned units.
        names: str (n,), the file names.
        source: int (n,), index of the folder or tar each image came from.
    """

    images: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    landmarks: NDArray[np.float32]
    names: NDArray[np.str_]
    source: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def save(self, folder: Path) -> None:
        """Write the pack as a folder of ``.npy`` files, whole or not at all."""
        partial = folder.with_name(folder.name + ".partial")
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        np.save(partial / "images.npy", self.images)
        np.save(partial / "valid.npy", np.packbits(self.valid.reshape(len(self), -1), axis=1))
        np.save(partial / "landmarks.npy", self.landmarks)
        np.save(partial / "names.npy", self.names)
        np.save(partial / "source.npy", self.source)
        partial.replace(folder)

    @staticmethod
    def load(folder: Path) -> Pack:
        """Open a pack written by `save`; the images stay on disk, mapped."""
        valid = np.unpackbits(np.load(folder / "valid.npy"), axis=1)
        return Pack(
            np.load(folder / "images.npy", mmap_mode="c"),
            valid.reshape(-1, SIZE, SIZE).astype(bool),
            np.load(folder / "landmarks.npy"),
            np.load(folder / "names.npy"),
            np.load(folder / "source.npy"),
        )


def read_images(path: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield (name, RGB image) of every image in a folder (recursively) or a tar."""

    def decode(data: bytes) -> NDArray[np.uint8] | None:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES):
            image = decode(file.read_bytes())
            if image is not None:
                yield file.name, image
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if not member.isfile() or Path(member.name).suffix.lower() not in SUFFIXES:
                continue
            stream = tar.extractfile(member) or io.BytesIO()
            image = decode(stream.read())
            if image is not None:
                yield Path(member.name).name, image


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares similarity (Umeyama 1991) that maps source (k,2) onto target: (2,3)."""
    a, b = source.astype(np.float64), target.astype(np.float64)
    ma, mb = a.mean(0), b.mean(0)
    za = (a - ma) @ np.array([1, 1j])
    zb = (b - mb) @ np.array([1, 1j])
    factor = np.vdot(za, zb) / np.vdot(za, za)
    c, s = factor.real, factor.imag
    linear = np.array([[c, -s], [s, c]])
    return np.hstack([linear, (mb - linear @ ma)[:, None]])


class FaceFinder:
    """The largest face of an image and its five landmarks, by YuNet.

    Args:
        model: YuNet ONNX file with dynamic sides.
    """

    def __init__(self, model: Path) -> None:
        self._net = cv2.FaceDetectorYN.create(str(model), "", (192, 192), 0.5)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Landmarks float32 (5,2) in pixels of ``image`` (RGB), or None."""
        pad = max(image.shape[:2]) // 4
        framed = cv2.copyMakeBorder(
            image[..., ::-1], pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        scale = min(1.0, 640 / max(framed.shape[:2]))
        if scale < 1:
            framed = cv2.resize(framed, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._net.setInputSize((framed.shape[1], framed.shape[0]))
        _, found = self._net.detect(framed)
        if found is None:
            return None
        best = found[np.argmax(found[:, 2] * found[:, 3])]
        return np.asarray(best[4:14].reshape(5, 2) / scale - pad, np.float32)


def align(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float32]]:
    """Cut a face to the aligned face space.

    An image that already lies in the aligned face space (128x128, landmarks near the
    template) is taken as it is, so that it is not resampled twice.

    Returns:
        The crop uint8 (128,128,3), its valid pixels bool (128,128), its
        landmarks float32 (5,2).
    """
    aligned = np.abs(landmarks.mean(0) - TEMPLATE.mean(0)).max() < 4
    spread = landmarks.std() / TEMPLATE.std()
    if image.shape[:2] == (SIZE, SIZE) and aligned and 0.85 < spread < 1.18:
        return image, np.ones((SIZE, SIZE), bool), landmarks
    matrix = similarity(landmarks, TEMPLATE)
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    source = image
    if zoom < 0.5:
        source = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / zoom), np.uint8)
    crop = cv2.warpAffine(source, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    ones = np.full(image.shape[:2], 255, np.uint8)
    valid = cv2.warpAffine(ones, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR) > 250
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(crop * valid[..., None], np.uint8), valid, moved.astype(np.float32)


def build_pack(sources: list[Path], detector: Path) -> Pack:
    """Find, align and collect every face of ``sources`` (folders or tars)."""
    finder = FaceFinder(detector)
    images, valids, points, names, origin = [], [], [], [], []
    for index, source in enumerate(sources):
        seen = 0
        for name, image in read_images(source):
            seen += 1
            landmarks = finder(image)
            if landmarks is None:
                continue
            crop, valid, moved = align(image, landmarks)
            if valid.mean() < 0.4 or np.abs(moved - TEMPLATE).max() > 24:
                continue
            images.append(crop)
            valids.append(valid)
            points.append(moved)
            names.append(name)
            origin.append(index)
        log.info("%s: %d images, %d kept in all", source.name, seen, len(images))
    return Pack(
        np.stack(images),
        np.stack(valids),
        np.stack(points),
        np.array(names),
        np.array(origin, np.int64),
    )
