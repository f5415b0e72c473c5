"""The faces and backgrounds that torture clips are made of, and their variations by seed.

Two frontal portraits in the public domain; mirrored, turned, stretched, tinted and relit they give
as many heads as a clip wants. Backgrounds are crops of four images without faces.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from stream_anon.errors import ModelError
from stream_anon.models import fetch, registry

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]

_TABLE = Path(__file__).with_name("images.yaml")


@dataclass(frozen=True)
class Portrait:
    """Where the face and the head lie in an image, in its pixels."""

    image: str
    face: tuple[float, float, float, float]
    """x0 y0 x1 y1, as both detectors and the eye see it."""
    head: tuple[float, float, float, float]
    """Centre x, y and half axes of the ellipse that is cut out."""


PORTRAITS = (
    Portrait("astronaut", (179.0, 57.0, 272.0, 178.0), (225.0, 100.0, 82.0, 100.0)),
    Portrait("hopper", (179.0, 128.0, 353.0, 330.0), (262.0, 205.0, 150.0, 178.0)),
)

BACKDROPS = ("garage", "table", "rocket", "bricks")


@lru_cache
def image(name: str) -> Pixels:
    """An image by name, (h, w, 3) uint8 RGB; fetched once, hashed at every run.

    Raises:
        ModelError: it is not here and cannot be fetched.
    """
    if name in registry.names("sample"):
        path = registry.path(name)
    else:
        path = _fetched(name)
    read = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if read is None:
        raise ModelError(f"{path}: cannot be read")
    return np.ascontiguousarray(read[..., ::-1])


def _fetched(name: str) -> Path:
    entry = registry.parse(yaml.safe_load(_TABLE.read_text("utf-8")))[name]
    for folder in registry.folders():
        path = folder / entry.file
        if path.is_file() and _right(path.read_bytes(), entry):
            return path
    content = fetch.fetch(entry.source, entry.size)
    if not _right(content, entry):
        raise ModelError(f"{entry.source}: is not what was pinned")
    path = registry.folders()[-1] / entry.file
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    return part.replace(path)


def _right(content: bytes, entry: registry.Entry) -> bool:
    return hashlib.sha256(content).hexdigest() == entry.sha256


@dataclass(frozen=True)
class Head:
    """A head to paste: one portrait and how it is varied.

    Attributes:
        portrait: number in ``PORTRAITS``.
        mirror: left and right exchanged.
        angle: in-plane turn in degrees.
        stretch: width against height.
        gain: factor on all levels.
        cast: factors on red, green, blue.
    """

    portrait: int
    mirror: bool = False
    angle: float = 0.0
    stretch: float = 1.0
    gain: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def cut(self, size: float, angle: float = 0.0) -> Cut:
        """The head with a face of this size (geometric mean of its box's sides) in pixels."""
        return _cut(self, round(size * 4) / 4, round((self.angle + angle) * 2) / 2)


@dataclass(frozen=True, eq=False)
class Cut:
    """A head, ready to paste.

    Attributes:
        pixels: (h, w, 3) float32, 0-255.
        alpha: (h, w) float32, 0-1.
        centre: of the face in the cut, x, y in pixels.
        half: half width and half height of the face's box.
    """

    pixels: Array
    alpha: Array
    centre: tuple[float, float]
    half: tuple[float, float]


def some_head(rng: np.random.Generator, portrait: int | None = None) -> Head:
    """A variation by chance: another seed is another person, as far as two portraits go."""
    which = int(rng.integers(len(PORTRAITS))) if portrait is None else portrait
    return Head(
        which,
        bool(rng.integers(2)),
        float(rng.uniform(-6, 6)),
        float(rng.uniform(0.94, 1.06)),
        float(rng.uniform(0.85, 1.1)),
        (float(rng.uniform(0.93, 1.05)), 1.0, float(rng.uniform(0.93, 1.05))),
    )


def some_heads(rng: np.random.Generator, count: int) -> list[Head]:
    """Different heads, the portraits in turn."""
    first = int(rng.integers(len(PORTRAITS)))
    return [some_head(rng, (first + k) % len(PORTRAITS)) for k in range(count)]


@lru_cache(maxsize=4096)
def _cut(head: Head, size: float, angle: float) -> Cut:
    portrait = PORTRAITS[head.portrait]
    source = image(portrait.image)
    x0, y0, x1, y1 = portrait.face
    scale = size / float(np.sqrt((x1 - x0) * (y1 - y0)))
    # Shrunk by areas first: sampled far apart, a small face would be noise.
    shrink = min(1.0, scale * 1.5)
    if shrink < 1.0:
        to = (round(source.shape[1] * shrink), round(source.shape[0] * shrink))
        source = np.asarray(cv2.resize(source, to, interpolation=cv2.INTER_AREA), np.uint8)
    sx, sy = source.shape[1] / image(portrait.image).shape[1], shrink
    cx, cy, ax, ay = portrait.head
    wide = scale * np.sqrt(head.stretch)
    high = scale / np.sqrt(head.stretch)
    reach = 1.25 * max(ax * wide, ay * high)
    side = 2 * int(np.ceil(reach))
    turn = np.deg2rad(angle)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    flip = np.diag([-1.0 if head.mirror else 1.0, 1.0])
    linear = rotate @ flip @ np.diag([wide / sx, high / sy])
    middle = np.array([cx * sx, cy * sy])
    shift = np.array([side / 2, side / 2]) - linear @ middle
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    turned = cv2.warpAffine(
        source, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    light = np.array(head.cast, np.float32) * head.gain
    pixels = np.clip(turned.astype(np.float32) * light, 0, 255)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1) + 0.5 - side / 2
    upright = grid @ np.linalg.inv(rotate).T / (ax * wide, ay * high)
    radius = np.sqrt((upright**2).sum(-1))
    alpha = np.clip((1.0 - radius) / 0.08 + 0.5, 0, 1).astype(np.float32)
    face = linear @ (np.array([(x0 + x1) / 2 * sx, (y0 + y1) / 2 * sy])) + shift
    half = ((x1 - x0) / 2 * wide, (y1 - y0) / 2 * high)
    return Cut(pixels, alpha, (float(face[0]), float(face[1])), (float(half[0]), float(half[1])))


def backdrop(rng: np.random.Generator, width: int, height: int, name: str = "") -> Pixels:
    """A crop of an image without faces, (height, width, 3) uint8 RGB; another one at each call."""
    source = image(name or BACKDROPS[int(rng.integers(len(BACKDROPS)))])
    rows, columns = source.shape[:2]
    share = rng.uniform(0.6, 0.95)
    wide = min(columns, rows * width / height) * share
    high = wide * height / width
    x, y = rng.uniform(0, columns - wide), rng.uniform(0, rows - high)
    crop = source[int(y) : int(y + high), int(x) : int(x + wide)]
    if rng.integers(2):
        crop = crop[:, ::-1]
    scaled = cv2.resize(
        np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_CUBIC
    ).astype(np.float32)
    light = rng.uniform(0.75, 1.1) * np.array([rng.uniform(0.9, 1.1), 1.0, rng.uniform(0.9, 1.1)])
    # Grain: an image that was blown up is smoother than any camera's.
    grain = rng.normal(0, 2.5, (height, width, 1))
    return np.clip(scaled * light + grain, 0, 255).astype(np.uint8)
