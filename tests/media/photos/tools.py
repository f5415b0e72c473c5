"""Photos with one property each."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.media.input.photo_source import PhotoSource
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.fakes import tracked

WIDTH, HEIGHT = 203, 151
ICC = b"a profile that nobody reads" * 9
BOX = (60.0, 40.0, 60.0)
"""Corner and side of the face that is painted."""


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(h, w, 3) uint8 RGB with detail everywhere."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path: Path, array: np.ndarray | None = None, **options: Any) -> Path:
    Image.fromarray(picture() if array is None else array).save(path, **options)
    return path


def save_deep(path: Path, array: np.ndarray) -> Path:
    """16 bits; (h, w) or (h, w, 3 or 4), RGB."""
    if array.ndim == 3:
        array = array[..., [2, 1, 0, *range(3, array.shape[2])]]
    assert cv2.imwrite(str(path), array)
    return path


def deep(channels: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    return rng.integers(0, 1 << 16, shape, dtype=np.uint16)


def redact(source: Path, target: Path, *faces: Any, **options: Any) -> PhotoSource:
    """A photo through source, gate and sink; one face is filled where none are given."""
    gate = Compositor(Fill((10, 200, 30)), FaultConfig())
    with PhotoSource(source) as reader:
        (frame,) = reader
        with PhotoSink(target, reader.info, VideoConfig(**options)) as sink:
            sink.write(gate.clear(frame, faces or (tracked(*BOX),)))
    return reader


def samples(path: Path) -> np.ndarray:
    """As stored, not turned; (h, w) or (h, w, c), RGB."""
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is not None and image.dtype == np.uint16:
        return image if image.ndim == 2 else image[..., [2, 1, 0, *range(3, image.shape[2])]]
    with Image.open(path) as opened:
        return np.asarray(opened)


def outside(shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool: far from the face that ``redact`` paints."""
    away = np.ones(shape[:2], bool)
    away[10:130, 30:150] = False
    return away


def exif(orientation: int = 1, **more: Any) -> Image.Exif:
    """What a phone writes: maker, time, place, a note of the maker, and what ``more`` says."""
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F], made[0x0110] = "SecretMaker", "SecretModel"
    made[0x0132] = "2026:05:04 03:02:01"
    made.get_ifd(0x8769).update({0x9003: "2026:05:04 03:02:01", 0x927C: b"SecretMakerNote"})
    made.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return made


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """A JPEG whose EXIF block holds a second image, as cameras write it."""
    entries = [(0x0103, 3, 1, 6), (0x0201, 4, 1, 0), (0x0202, 4, 1, len(thumbnail))]
    first = b"\x00\x01" + (0x010F).to_bytes(2) + (2).to_bytes(2) + (4).to_bytes(4) + b"Mak\0"
    tiff = b"MM\0*\0\0\0\x08" + first
    second = len(tiff) + 4
    tiff += second.to_bytes(4)
    place = second + 2 + 12 * len(entries) + 4
    tiff += len(entries).to_bytes(2)
    for tag, kind, count, value in entries:
        value = place if tag == 0x0201 else value
        stored = value.to_bytes(2) + b"\0\0" if kind == 3 else value.to_bytes(4)
        tiff += tag.to_bytes(2) + kind.to_bytes(2) + count.to_bytes(4) + stored
    tiff += b"\0\0\0\0" + thumbnail
    block = b"Exif\0\0" + tiff
    assert data[:2] == b"\xff\xd8"
    return b"\xff\xd8\xff\xe1" + (len(block) + 2).to_bytes(2) + block + data[2:]


def jpeg(array: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG", **options)
    return out.getvalue()
