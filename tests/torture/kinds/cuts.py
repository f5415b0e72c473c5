"""People who are there for moments, and frames that have little to do with the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from tests.torture.film import Take
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still


def _brief(there: int) -> Callable[[Studio], Take]:
    def make(s: Studio) -> Take:
        def frames() -> Iterator[Frame]:
            wall = s.wall()
            for _ in range(s.count(3)):
                for _ in range(int(s.rng.integers(4, 13))):
                    yield Canvas(s.grain(wall)).to_av()
                size = s.size()
                x, y = s.spot(size)
                head = s.heads[int(s.rng.integers(len(s.heads)))]
                for number in range(there):
                    canvas = Canvas(s.grain(wall))
                    canvas.head(head, x + number, y, size)
                    yield canvas.to_av()
            yield from still(wall, 4)

        return Take(frames())

    make.__name__ = f"brief_{there}"
    make.__doc__ = f"A face that is there for {there} frames."
    return make


for _there in (1, 2, 3, 5):
    kind(_brief(_there))


@kind
def elsewhere_fourth(s: Studio) -> Take:
    """Somebody who is elsewhere every fourth frame: a slow camera in a 25-a-second file."""
    return Take(_elsewhere(s, s.count(32), 4))


@kind
def time_lapse(s: Studio) -> Take:
    """Somebody elsewhere in every frame, and with them another."""
    return Take(_elsewhere(s, s.count(24), 1, 2))


def _elsewhere(s: Studio, count: int, every: int, people: int = 1) -> Iterator[Frame]:
    wall = s.wall()
    size = s.size()
    spots: list[tuple[float, float]] = []
    for number in range(count):
        if number % every == 0:
            spots = s.spots(size, people)
        canvas = Canvas(s.grain(wall))
        for person, (x, y) in enumerate(spots):
            canvas.head(s.heads[person], x, y, size, person=person)
        yield canvas.to_av()


def pan(
    s: Studio, count: int, speed: Callable[[float], float], people: int, smear: float = 0.0
) -> Iterator[Frame]:
    """A camera that turns past standing people.

    Args:
        s: the clip's chance and measures.
        count: frames.
        speed: share of a frame's width per frame, by the share of the clip that is over.
        people: along the way.
        smear: motion blur, as a share of the motion of one frame.
    """
    steps = np.array([speed(k / max(1, count - 1)) for k in range(count)]) * s.width
    places = np.cumsum(steps) - steps[0]
    across = 1.0 + places.max() / s.width
    wide = s.wide(across + 0.05)
    size = s.size()
    xs = np.linspace(0.6 * s.width, wide.shape[1] - 0.3 * s.width, people)
    ys = s.rng.uniform(0.75 * size, s.height - 0.75 * size, people)
    for number in range(count):
        left = round(places[number])
        canvas = Canvas(wide[:, left : left + s.width])
        for person, (x, y) in enumerate(zip(xs, ys, strict=True)):
            canvas.head(s.heads[person % len(s.heads)], x - left, y, size, person=person)
        frame = canvas.to_av()
        far = int(smear * steps[number])
        if far > 1:
            kernel = np.full((1, far), 1 / far, np.float32)
            frame = Frame(cv2.filter2D(frame.pixels, -1, kernel), frame.faces)
        yield Frame(s.grain(frame.pixels), frame.faces)


@kind
def whip_pan(s: Studio) -> Take:
    """A camera whipped past people who stand there, and at rest before and after."""

    def speed(share: float) -> float:
        return float(0.28 * np.exp(-(((share - 0.5) / 0.16) ** 2)))

    return Take(pan(s, s.count(36), speed, 6))


@kind
def fast_pan_slow_camera(s: Studio) -> Take:
    """A third of a frame further in every frame, at eight frames a second."""
    return Take(pan(s, s.count(14), lambda share: 0.33, 9), rate=8)


@kind
def steady_pan(s: Studio) -> Take:
    """A camera that turns steadily; somebody new comes in with the background."""
    return Take(pan(s, s.count(44), lambda share: 0.03, 3))


@kind
def cuts_every_third(s: Studio) -> Take:
    """A shot cut every third frame, one or two people in each shot."""

    def frames() -> Iterator[Frame]:
        for _ in range(s.count(10)):
            wall, size = s.wall(), s.size()
            spots = s.spots(size, 1 + int(s.rng.integers(2)))
            for _ in range(3):
                canvas = Canvas(s.grain(wall))
                for person, (x, y) in enumerate(spots):
                    head = s.heads[int(s.rng.integers(len(s.heads)))] if not person else s.heads[3]
                    canvas.head(head, x, y, size, person=person)
                yield canvas.to_av()

    return Take(frames())


@kind
def cuts_every_frame(s: Studio) -> Take:
    """Every frame is of another place."""

    def frames() -> Iterator[Frame]:
        for number in range(s.count(18)):
            canvas = Canvas(s.grain(s.wall()))
            if number % 3:
                size = s.size()
                canvas.head(s.heads[number % len(s.heads)], *s.spot(size), size)
            yield canvas.to_av()

    return Take(frames())


def _last(s: Studio, empty: int, there: int) -> Iterator[Frame]:
    wall = s.wall()
    yield from (Canvas(s.grain(wall)).to_av() for _ in range(empty))
    size = s.size()
    spots = s.spots(size, 2)
    for number in range(there):
        canvas = Canvas(s.grain(wall))
        for person, (x, y) in enumerate(spots):
            canvas.head(s.heads[person], x - number, y, size, person=person)
        yield canvas.to_av()


@kind
def last_frames(s: Studio) -> Take:
    """People come with the last frames of the file."""
    return Take(_last(s, int(s.rng.integers(12, 26)), int(s.rng.integers(1, 6))))


@kind
def last_frames_end(s: Studio) -> Take:
    """People come shortly before the time at which the run is told to end."""
    empty, there = int(s.rng.integers(12, 26)), int(s.rng.integers(1, 6))
    return Take(
        _last(s, empty, there + 12), options={"end": (empty + there) / 25}, kept=empty + there
    )


@kind
def before_a_cut(s: Studio) -> Take:
    """People come just before a shot cut, again and again."""

    def frames() -> Iterator[Frame]:
        for _ in range(s.count(3)):
            yield from _last(s, int(s.rng.integers(5, 11)), int(s.rng.integers(1, 4)))

    return Take(frames())


@kind
def blurred_first(s: Studio) -> Take:
    """Shots whose first frame is blurred, the people in it with it; sharp from the next on."""

    def frames() -> Iterator[Frame]:
        for _ in range(s.count(4)):
            wall, size = s.wall(), s.size()
            x, y = s.spot(size)
            head = s.heads[int(s.rng.integers(len(s.heads)))]
            for number in range(6):
                canvas = Canvas(s.grain(wall))
                canvas.head(head, x, y, size)
                frame = canvas.to_av()
                if number == 0:
                    soft = cv2.GaussianBlur(frame.pixels, (0, 0), 0.07 * size)
                    frame = Frame(soft, frame.faces)
                yield frame

    return Take(frames())


@kind
def fast_zoom(s: Studio) -> Take:
    """Zooms in and out within a few frames at a low rate; the person is far, then near."""

    def frames() -> Iterator[Frame]:
        wall = s.wide(3.0, 3.0)
        people = [(1.15, 1.3), (1.5, 1.55), (1.9, 1.4)]
        for number in range(s.count(20)):
            zoom = 2.0 + 1.4 * np.sin(2 * np.pi * number / 5 + 0.4)
            wide, high = s.width * 3.4 / zoom / 2.0, s.height * 3.4 / zoom / 2.0
            wide, high = min(wide, 3.0 * s.width), min(high, 3.0 * s.height)
            left, top = 1.5 * s.width - wide / 2, 1.5 * s.height - high / 2
            view = wall[int(top) : int(top + high), int(left) : int(left + wide)]
            shown = cv2.resize(view, (s.width, s.height), interpolation=cv2.INTER_AREA)
            canvas = Canvas(s.grain(shown))
            grow = s.width / wide
            for person, (x, y) in enumerate(people):
                at = ((x * s.width - left) * grow, (y * s.height - top) * grow)
                canvas.head(s.heads[person], *at, 100 * grow, person=person)
            yield canvas.to_av()

    return Take(frames(), rate=8)


@kind
def swap_places(s: Studio) -> Take:
    """Two people stand still, and stand where the other stood in a later frame, again and again."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        places = [(0.25 * s.width, 0.5 * s.height), (0.75 * s.width, 0.5 * s.height)]
        for number in range(s.count(28)):
            if number % 7 == 5:
                places.reverse()
            if number % 11 == 8:
                places[0] = (places[0][0], s.rng.uniform(0.3, 0.7) * s.height)
            canvas = Canvas(s.grain(wall))
            for person, (x, y) in enumerate(places):
                canvas.head(s.heads[person], x, y, size, person=person)
            yield canvas.to_av()

    return Take(frames())
