"""Frames within the frame: screens, monitors, slides, letterboxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.torture.film import Take
from tests.torture.images import Pixels, backdrop
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still_life


@kind
def picture_in_picture(s: Studio) -> Take:
    """A small second programme in a corner, with shot cuts of its own."""

    def frames() -> Iterator[Frame]:
        x1, y1 = round(0.98 * s.width), round(0.97 * s.height)
        x0, y0 = x1 - round(0.5 * s.width), y1 - round(0.5 * s.height)
        small = s.wall()
        size = 2 * s.size()
        at, there = s.spot(size), False
        for number, canvas in enumerate(still_life(s, s.count(36))):
            if number % 6 == 5:
                small, at, there = s.wall(), s.spot(size), not there
            inner = Canvas(small)
            if there:
                inner.head(s.heads[number // 6 % 8], *at, size, person=number // 6)
            canvas.inset(inner, x0, y0, x1, y1)
            yield canvas.to_av()

    return Take(frames())


@kind
def split_screen(s: Studio) -> Take:
    """Two programmes side by side; one changes while the other stands."""

    def frames() -> Iterator[Frame]:
        halves = [_half(s) for _ in range(2)]
        for number in range(s.count(32)):
            if number % 7 == 6:
                halves[number // 7 % 2] = _half(s)
            canvas = Canvas(np.zeros((s.height, s.width, 3), np.uint8))
            middle = s.width // 2
            canvas.inset(halves[0](), 0, 0, middle, s.height)
            canvas.inset(halves[1](), middle, 0, s.width, s.height)
            frame = canvas.to_av()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


def _half(s: Studio) -> Callable[[], Canvas]:
    one = Studio(s.rng, s.width // 2, s.height, s.long, s.small)
    wall = one.wall()
    size = one.size()
    head, (x, y) = s.heads[int(s.rng.integers(8))], one.spot(size)

    def canvas() -> Canvas:
        made = Canvas(wall)
        made.head(head, x, y, size)
        return made

    return canvas


@kind
def monitor_in_the_room(s: Studio) -> Take:
    """A screen on the wall of a room that stands still switches to a face, and away."""

    def frames() -> Iterator[Frame]:
        wide, high = round(0.4 * s.width), round(0.45 * s.height)
        x0, y0 = round(s.rng.uniform(0.05, 0.5) * s.width), round(0.1 * s.height)
        screens = [s.wall() for _ in range(5)]
        size = s.size() / 0.42
        for number, canvas in enumerate(still_life(s, s.count(40))):
            programme = number // 5 % 5
            inner = Canvas(screens[programme])
            if programme in (1, 3):
                inner.head(s.heads[programme], 0.5 * s.width, 0.5 * s.height, size)
            canvas.inset(inner, x0, y0, x0 + wide, y0 + high)
            yield canvas.to_av()

    return Take(frames())


@kind
def letterbox(s: Studio) -> Take:
    """Black bars that come and go, and with them the frame's scale."""

    def frames() -> Iterator[Frame]:
        wall = s.wall()
        size = s.size()
        at = s.spot(size)
        for number in range(s.count(34)):
            scene = Canvas(s.grain(wall))
            scene.head(s.heads[0], at[0] + number, at[1], size)
            if number % 9 > 4:
                scene.head(s.heads[1], s.width - at[0], s.height - at[1], size, person=1)
            share = (1.0, 0.75, 0.6, 0.85)[number // 6 % 4]
            canvas = Canvas(np.zeros((s.height, s.width, 3), np.uint8))
            edge = round((1 - share) * s.height / 2)
            if number // 12 % 2:
                side = round((1 - share) * s.width / 2)
                canvas.inset(scene, side, edge, s.width - side, s.height - edge)
            else:
                canvas.inset(scene, 0, 0, s.width, s.height)
                canvas.cover(0, 0, s.width, edge)
                canvas.cover(0, s.height - edge, s.width, s.height)
            yield canvas.to_av()

    return Take(frames())


def _slide(s: Studio) -> Pixels:
    page = np.full((s.height, s.width, 3), 244, np.uint8)
    page[: s.height // 8] = (40, 60, 110)
    for row in range(8):
        top = int((0.2 + 0.09 * row) * s.height)
        right = int(s.rng.uniform(0.25, 0.5) * s.width)
        page[top : top + s.height // 40, int(0.06 * s.width) : right] = 70
    return page


@kind
def slides(s: Studio) -> Take:
    """A talk's slides, one every few frames at one a second; some hold a portrait."""

    def frames() -> Iterator[Frame]:
        for number in range(s.count(8)):
            page = _slide(s)
            x0, y0 = int(s.rng.uniform(0.55, 0.7) * s.width), int(0.25 * s.height)
            inner = Canvas(backdrop(s.rng, round(0.25 * s.width), round(0.5 * s.height)))
            size = min(s.size(), 0.12 * s.width)
            if number % 2:
                inner.head(s.heads[number % 8], 0.125 * s.width, 0.25 * s.height, size)
            for _ in range(int(s.rng.integers(1, 4))):
                canvas = Canvas(page)
                canvas.inset(inner, x0, y0, x0 + round(0.25 * s.width), y0 + round(0.5 * s.height))
                yield canvas.to_av()

    return Take(frames(), rate=1)


@kind
def screen_recording(s: Studio) -> Take:
    """A feed that is flung, rests, and is flung on: frames with and without faces."""

    def frames() -> Iterator[Frame]:
        step = round(0.75 * s.height)
        posts = 7
        feed = np.full((posts * step + s.height, s.width, 3), 250, np.uint8)
        size = s.size()
        x0, x1 = round(0.2 * s.width), round(0.8 * s.width)
        faces = []
        for post in range(posts):
            top = post * step + round(0.1 * s.height)
            bottom = top + round(0.6 * s.height)
            feed[top:bottom, x0:x1] = backdrop(s.rng, x1 - x0, bottom - top)
            x = s.rng.uniform(x0 + size, x1 - size)
            y = s.rng.uniform(top + 0.8 * size, bottom - 0.8 * size)
            faces.append((x, y) if post % 3 else None)
        # Flung with friction, three times, resting in between.
        moves = np.tile(np.r_[0.9 * 0.55 ** np.arange(8), np.zeros(3)], 4)
        top = 0.0
        for move in moves[: s.count(33)]:
            at = round(min(top, feed.shape[0] - s.height))
            canvas = Canvas(feed[at : at + s.height])
            for post, face in enumerate(faces):
                if face is not None:
                    canvas.head(s.heads[post], face[0], face[1] - at, size, person=post)
            yield canvas.to_av()
            top += move * s.height

    return Take(frames(), suffix="mkv", rate=30)
