"""Scenes in which something other than a walking person brings a face into the frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from tests.torture.film import Take
from tests.torture.kinds_clock import walkers
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still


@kind
def rolling_shutter(s: Studio) -> Take:
    """A camera that shakes while its rows are read one after another."""

    def frames() -> Iterator[Frame]:
        wall = s.wall()
        size = s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(30)):
            canvas = Canvas(s.grain(wall))
            for person, (x, y) in enumerate(spots):
                if person == 0 or number >= 11:
                    canvas.head(s.heads[person], x, y, size, person=person)
            lean = 0.18 * np.sin(number * 1.7)
            shift = 0.03 * s.width * np.sin(number * 2.3)
            middle = lean * s.height / 2
            canvas.warp(np.array([[1.0, lean, shift - middle], [0.0, 1.0, 0.0]]))
            yield canvas.frame()

    return Take(frames())


@kind
def doubled_and_dropped(s: Studio) -> Take:
    """A street whose frames come twice or not at all: a bad converter."""

    def frames() -> Iterator[Frame]:
        whole = list(walkers(s, s.count(70), 12.0))
        number = 0
        for _ in range(s.count(34)):
            yield whole[min(number, len(whole) - 1)]
            number += int(s.rng.choice([0, 1, 1, 2, 5]))

    return Take(frames())


@kind
def interlaced(s: Studio) -> Take:
    """Fields: odd rows are half a frame later than the even ones."""

    def frames() -> Iterator[Frame]:
        fields = list(walkers(s, 2 * s.count(26), 25.0))
        for first, second in zip(fields[::2], fields[1::2], strict=True):
            pixels = first.pixels.copy()
            pixels[1::2] = second.pixels[1::2]
            yield Frame(pixels, first.faces)

    return Take(frames(), interlaced=True)


@kind
def behind_glass(s: Studio) -> Take:
    """A scene behind a pane that mirrors another, which moves; somebody comes in."""

    def frames() -> Iterator[Frame]:
        wall, other = s.wall(), s.wide(1.6)
        size = s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(32)):
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                if number >= 6 + 9 * person:
                    canvas.head(s.heads[person], x + 1.5 * number, y, size, person=person)
            left = round(number * 0.015 * s.width)
            canvas.overlay(np.ascontiguousarray(other[:, left : left + s.width]), 0.25)
            frame = canvas.frame()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


def _still_life(s: Studio, count: int) -> Iterator[Canvas]:
    wall = s.wall()
    for _ in range(count):
        yield Canvas(s.grain(wall))


@kind
def picture_in_picture(s: Studio) -> Take:
    """A small second programme in a corner, with shot cuts of its own."""

    def frames() -> Iterator[Frame]:
        x1, y1 = round(0.98 * s.width), round(0.97 * s.height)
        x0, y0 = x1 - round(0.5 * s.width), y1 - round(0.5 * s.height)
        small = s.wall()
        size = 2 * s.size()
        at, there = s.spot(size), False
        for number, canvas in enumerate(_still_life(s, s.count(36))):
            if number % 6 == 5:
                small, at, there = s.wall(), s.spot(size), not there
            inner = Canvas(small)
            if there:
                inner.head(s.heads[number // 6 % 8], *at, size, person=number // 6)
            canvas.inset(inner, x0, y0, x1, y1)
            yield canvas.frame()

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
            frame = canvas.frame()
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
        for number, canvas in enumerate(_still_life(s, s.count(40))):
            programme = number // 5 % 5
            inner = Canvas(screens[programme])
            if programme in (1, 3):
                inner.head(s.heads[programme], 0.5 * s.width, 0.5 * s.height, size)
            canvas.inset(inner, x0, y0, x0 + wide, y0 + high)
            yield canvas.frame()

    return Take(frames())


@kind
def letterbox(s: Studio) -> Take:
    """Black bars that come and go, and with them the picture's scale."""

    def frames() -> Iterator[Frame]:
        inner = list(walkers(s, s.count(34), 25.0))
        wall = s.wall()
        size = s.size()
        at = s.spot(size)
        for number in range(len(inner)):
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
            yield canvas.frame()

    return Take(frames())


@kind
def flashes(s: Studio) -> Take:
    """Cameras flash; somebody is there from a flash on."""

    def frames() -> Iterator[Frame]:
        white = np.full((s.height, s.width, 3), 250, np.uint8)
        size = s.size()
        spots = s.spots(size, 2)
        come = int(s.rng.integers(6, 12))
        for number, canvas in enumerate(_still_life(s, s.count(30))):
            for person, (x, y) in enumerate(spots):
                if person == 0 or number > come:
                    canvas.head(s.heads[person], x, y, size, person=person)
            if number == come or s.rng.random() < 0.12:
                canvas.overlay(white, 0.85)
            yield canvas.frame()

    return Take(frames())


@kind
def strobe(s: Studio) -> Take:
    """A dance floor: every other frame is dark, people are elsewhere at each flash."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        spots = s.spots(size, 2)
        black = np.zeros((s.height, s.width, 3), np.uint8)
        for number, canvas in enumerate(_still_life(s, s.count(28))):
            if number % 4 == 0:
                spots = s.spots(size, 2)
            for person, (x, y) in enumerate(spots):
                canvas.head(s.heads[person], x, y, size, person=person)
            if number % 2:
                canvas.overlay(black, 0.92)
            yield canvas.frame()

    return Take(frames())


@kind
def fade_in(s: Studio) -> Take:
    """A face that grows out of the background over two seconds."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        at = s.spot(size)
        count = s.count(40)
        for number, canvas in enumerate(_still_life(s, count)):
            canvas.head(s.heads[0], *at, size, opacity=min(1.0, 1.25 * number / count))
            yield canvas.frame()

    return Take(frames())


@kind
def crossfade(s: Studio) -> Take:
    """One scene fades into another, with people in both."""

    def frames() -> Iterator[Frame]:
        walls = (s.wall(), s.wall())
        size = s.size()
        spots = [s.spot(size) for _ in range(2)]
        for number in range(s.count(26)):
            scenes = []
            for k in range(2):
                canvas = Canvas(walls[k])
                canvas.head(s.heads[k], *spots[k], size, person=k)
                scenes.append(canvas)
            share = float(np.clip((number - 8) / 9, 0, 1))
            front, behind = (0, 1) if share < 0.5 else (1, 0)
            opacity = share if share < 0.5 else 1 - share
            scenes[front].overlay(scenes[behind].pixels, opacity)
            frame = scenes[front].frame()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


@kind
def small_region(s: Studio) -> Take:
    """Nothing moves but a small part, in which a small face comes up."""

    def frames() -> Iterator[Frame]:
        size = 44.0 if s.small else 60.0
        spots = s.spots(size, 4)
        for number, canvas in enumerate(_still_life(s, s.count(36))):
            for person, (x, y) in enumerate(spots):
                if number >= 5 + 7 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            yield canvas.frame()

    return Take(frames())


@kind
def night(s: Studio) -> Take:
    """A dark, noisy camera; somebody comes in."""

    def frames() -> Iterator[Frame]:
        wall = s.wall()
        size = s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(34)):
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                if number >= 7 + 9 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            frame = canvas.frame()
            dark = (frame.pixels * 0.38).astype(np.uint8)
            yield Frame(s.grain(dark, 7.0), frame.faces)

    return Take(frames(), crf=16)


@kind
def slides_in(s: Studio) -> Take:
    """Heads that come over a border fast, from each side in turn, and stop."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        for side in range(4 if s.long > 1 else 3):
            x, y = s.spot(size)
            fast = s.rng.uniform(0.5, 1.2) * size
            for number in range(11):
                left = max(0.0, 4.0 - number) * fast
                dx, dy = ((-left, 0), (left, 0), (0, -left), (0, left))[side]
                canvas = Canvas(s.grain(wall))
                canvas.head(s.heads[side], x + dx, y + dy, size, person=side)
                yield canvas.frame()

    return Take(frames())


@kind
def flies_through(s: Studio) -> Take:
    """A head that crosses the whole frame in four or five frames."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        for flight in range(s.count(4)):
            yield from (Canvas(s.grain(wall)).frame() for _ in range(int(s.rng.integers(2, 8))))
            y = s.rng.uniform(0.75 * size, s.height - 0.75 * size)
            steps = int(s.rng.integers(4, 6))
            for number in range(steps):
                canvas = Canvas(s.grain(wall))
                x = s.width * (number + 0.5) / steps
                canvas.head(s.heads[flight], x if flight % 2 else s.width - x, y, size)
                yield canvas.frame()

    return Take(frames())


@kind
def curtain(s: Studio) -> Take:
    """A curtain is pulled aside within a few frames; people stand behind it."""

    def frames() -> Iterator[Frame]:
        wall, cloth = s.wall(), s.wall("bricks")
        size = s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(30)):
            canvas = Canvas(s.grain(wall))
            for person, (x, y) in enumerate(spots):
                canvas.head(s.heads[person], x, y, size, person=person)
            opened = float(np.clip((number - 7) / 5, 0, 1))
            canvas.cover(opened * s.width, 0, s.width, s.height, cloth)
            yield canvas.frame()

    return Take(frames())


@kind
def door(s: Studio) -> Take:
    """A door opens and shuts at once, somebody is in it for three frames."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        x, y = s.spot(size)
        leaf = s.wall("bricks")
        for number, canvas in enumerate(_still_life(s, s.count(33))):
            canvas.head(s.heads[number // 11 % 8], x, y, size, person=number // 11)
            if not 5 <= number % 11 < 8:
                canvas.cover(x - size, y - 1.2 * size, x + size, y + 1.2 * size, leaf)
            yield canvas.frame()

    return Take(frames())


@kind
def crossing(s: Studio) -> Take:
    """People who pass in front of each other, the nearer hiding the farther."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        y = s.rng.uniform(0.45, 0.55) * s.height
        count = s.count(36)
        for number in range(count):
            share = number / count
            canvas = Canvas(s.grain(wall))
            canvas.head(s.heads[0], s.width * (1.1 - 1.2 * share), y - 10, 0.85 * size)
            canvas.head(s.heads[1], s.width * (1.2 * share - 0.1), y, size, person=1)
            canvas.head(s.heads[2], s.width * (2.2 * share - 0.7), y + 20, size, person=2)
            yield canvas.frame()

    return Take(frames())


@kind
def behind_a_pole(s: Studio) -> Take:
    """Somebody else comes out behind what somebody went behind."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        y = 0.5 * s.height
        for number, canvas in enumerate(_still_life(s, s.count(36))):
            x = 0.25 * s.width + 0.5 * s.width * number / s.count(36)
            canvas.head(s.heads[0 if x < 0.5 * s.width else 1], x, y, size)
            canvas.cover(0.5 * s.width - 0.8 * size, 0, 0.5 * s.width + 0.8 * size, s.height)
            yield canvas.frame()

    return Take(frames())


@kind
def turns_to_the_camera(s: Studio) -> Take:
    """A head seen from behind, blurred hair, becomes a face between two frames."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        spots = s.spots(size, 2)
        for number, canvas in enumerate(_still_life(s, s.count(30))):
            for person, (x, y) in enumerate(spots):
                turned = number % 10 >= 6 + person
                if turned:
                    canvas.head(s.heads[person], x, y, size, person=person)
                else:
                    canvas.head(s.heads[person], x, y, size, blur=0.35 * size, opacity=0.59)
                    # Hair alone: a blurred head of that kind is nobody's face.
                    canvas.placed[-1].opacity = 0.0
            yield canvas.frame()

    return Take(frames())


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
        yield canvas.frame()


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


@kind
def upside_down(s: Studio) -> Take:
    """Somebody leans: the head turns by 40 degrees to and fro while the camera rolls."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        at = s.spot(size)
        for number, canvas in enumerate(_still_life(s, s.count(30))):
            if number >= 6:
                canvas.head(s.heads[0], *at, size, angle=35 * np.sin(number / 4))
            frame = canvas.frame()
            yield Frame(cv2.GaussianBlur(frame.pixels, (0, 0), 0.6), frame.faces)

    return Take(frames())
