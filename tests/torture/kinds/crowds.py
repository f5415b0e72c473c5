"""Hundreds of faces at once."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.film import Take
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still


def _crowd(s: Studio, across: int, down: int, size: float, count: int) -> Iterator[Frame]:
    wall = s.wall()
    dx, dy = s.width / across, s.height / down
    jitter = s.rng.uniform(-0.08, 0.08, (down, across, 2)) * (dx, dy)
    # Few sizes and heads, so that each cut is made once.
    sizes = s.rng.choice([0.9, 1.0, 1.1], (down, across)) * size
    which = s.rng.integers(8, size=(down, across))
    for number in range(count):
        canvas = Canvas(wall)
        for row in range(down):
            for column in range(across):
                x = (column + 0.5) * dx + jitter[row, column, 0] + round(0.5 * number)
                y = (row + 0.5) * dy + jitter[row, column, 1]
                head = s.heads[which[row, column]]
                canvas.head(
                    head, round(x), round(y), float(sizes[row, column]),
                    person=row * across + column,
                )  # fmt: skip
        yield canvas.to_av()


def _scale(s: Studio, width: int, height: int) -> Studio:
    return Studio(s.rng, width, height, s.long, s.small)


@kind
def crowd_390(s: Studio) -> Take:
    """Hundreds of small faces at once: 390 in 4K, 136 in 720p."""
    if s.small:
        return Take(_crowd(_scale(s, 1280, 720), 17, 8, 40, 8))
    return Take(_crowd(_scale(s, 3840, 2160), 26, 15, 66, 9))


@kind
def crowd_480(s: Studio) -> Take:
    """More, smaller faces: 480 in 4K, 180 in 720p."""
    if s.small:
        return Take(_crowd(_scale(s, 1280, 720), 20, 9, 36, 6))
    return Take(_crowd(_scale(s, 3840, 2160), 30, 16, 58, 6))


@kind
def crowd_464(s: Studio) -> Take:
    """Faces of 77 pixels, 464 in 4K, 44 in 720p."""
    if s.small:
        return Take(_crowd(_scale(s, 1280, 720), 10, 5, 72, 8))
    return Take(_crowd(_scale(s, 3840, 2160), 29, 16, 77, 8))


@kind
def crowd_comes(s: Studio) -> Take:
    """A hall that is empty and full in the next frame."""

    def frames() -> Iterator[Frame]:
        hall = _scale(s, 1280, 720) if s.small else _scale(s, 3840, 2160)
        across, down, size = (12, 6, 56.0) if s.small else (20, 11, 100.0)
        yield from still(hall.wall(), 9)
        yield from _crowd(hall, across, down, size, 9)

    return Take(frames())
