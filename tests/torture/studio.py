"""What every kind of clip draws on: size, seed, heads, backgrounds, and how things move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tests.torture.film import Take
from tests.torture.pictures import Head, Pixels, backdrop, some_heads
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

    def __post_init__(self) -> None:
        self.heads = some_heads(self.rng, 8)

    def count(self, frames: int) -> int:
        """So many frames, times the form's length."""
        return max(1, round(frames * self.long))

    def size(self) -> float:
        """A face's size: 90 to 150 pixels, never above 0.4 of the height."""
        return float(self.rng.uniform(90, min(150, 0.4 * self.height)))

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
        """A sensor's noise, fresh in every frame."""
        noise = self.rng.normal(0, sigma, pixels.shape[:2]).astype(np.float32)
        return np.clip(pixels + noise[..., None], 0, 255).astype(np.uint8)


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
        yield Canvas(wall).frame()
