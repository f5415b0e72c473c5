"""What every kind of clip draws on: size, seed, heads, backgrounds, and how things move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.torture.film import Take
from tests.torture.images import Head, Pixels, backdrop, some_heads
from tests.torture.scene import Canvas, Frame


@dataclass
class Studio:
    """One clip's sources of chance and its measures.

    Attributes:
        rng: everything that varies with the seed.
        width: of the frames in pixels.
        height: likewise.
        long: factor on the number of frames; 1 in the small form.
        small: whether this is the form of the fast suite.
    """

    rng: np.random.Generator
    width: int = 640
    height: int = 360
    long: float = 1.0
    small: bool = True
    heads: list[Head] = field(init=False)
    _noise: NDArray[np.float32] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.heads = some_heads(self.rng, 8)

    def count(self, frames: int) -> int:
        """So many frames, times the form's length."""
        return max(1, round(frames * self.long))

    def size(self) -> float:
        """A face's size in pixels: 90 to 150 in the large form, 48 to 80 in the small one.

        As a share of the frame that is about the same. Larger ones would be a shot cut when they
        come, and a cut is looked at anyway.
        """
        return float(self.rng.uniform(48, 80) if self.small else self.rng.uniform(90, 150))

    def spot(self, size: float) -> tuple[float, float]:
        """A place for a face of this size that lies wholly inside."""
        edge = 0.75 * size
        return (
            float(self.rng.uniform(edge, self.width - edge)),
            float(self.rng.uniform(edge, self.height - edge)),
        )

    def spots(self, size: float, count: int) -> list[tuple[float, float]]:
        """Places in which faces of this size do not hide each other; fewer if there is no room."""
        found: list[tuple[float, float]] = []
        for _ in range(60 * count):
            x, y = self.spot(size)
            if all(abs(x - a) > 1.7 * size or abs(y - b) > 2.2 * size for a, b in found):
                found.append((x, y))
            if len(found) == count:
                break
        return found

    def wall(self, name: str = "") -> Pixels:
        """A background of the frame's size."""
        return backdrop(self.rng, self.width, self.height, name)

    def wide(self, across: float, down: float = 1.0) -> Pixels:
        """A background larger than the frame by these factors, for pans: several side by side."""
        width, height = round(self.width * across), round(self.height * down)
        parts, left = [], width
        while left > 0:
            part = min(left, round(self.width * 1.2))
            parts.append(backdrop(self.rng, part, height))
            left -= part
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def grain(self, pixels: Pixels, sigma: float = 2.0) -> Pixels:
        """A sensor's noise, other in every frame: one field of noise at changing offsets."""
        height, width = pixels.shape[:2]
        if self._noise is None or self._noise.shape < (height + 64, width + 64):
            shape = (height + 64, width + 64)
            self._noise = self.rng.standard_normal(shape, dtype=np.float32)
        y, x = (int(v) for v in self.rng.integers(0, 64, 2))
        noise = self._noise[y : y + height, x : x + width, None] * np.float32(sigma)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)


Kind = Callable[[Studio], Take]

KINDS: dict[str, Kind] = {}
"""Every kind of clip by name; filled by the modules that ``clips`` imports."""


def kind(make: Kind) -> Kind:
    """Enter a kind under its function's name."""
    KINDS[make.__name__] = make
    return make


def still(wall: Pixels, count: int) -> Iterator[Frame]:
    """Nobody, for so many frames."""
    for _ in range(count):
        yield Canvas(wall).to_av()


def still_life(s: Studio, count: int) -> Iterator[Canvas]:
    """A camera that stands still, its sensor's noise in every frame."""
    wall = s.wall()
    for _ in range(count):
        yield Canvas(s.grain(wall))
