"""Scenes in which something other than a walking person brings a face into the frame."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from tests.torture.film import Take
from tests.torture.kinds.clock import walkers
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still_life


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
            yield canvas.to_av()

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
        fields = list(walkers(s, 2 * s.count(26), 50.0))
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
            frame = canvas.to_av()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


@kind
def flashes(s: Studio) -> Take:
    """Cameras flash; somebody is there from a flash on."""

    def frames() -> Iterator[Frame]:
        white = np.full((s.height, s.width, 3), 250, np.uint8)
        size = s.size()
        spots = s.spots(size, 2)
        come = int(s.rng.integers(6, 12))
        for number, canvas in enumerate(still_life(s, s.count(30))):
            for person, (x, y) in enumerate(spots):
                if person == 0 or number > come:
                    canvas.head(s.heads[person], x, y, size, person=person)
            if number == come or s.rng.random() < 0.12:
                canvas.overlay(white, 0.85)
            yield canvas.to_av()

    return Take(frames())


@kind
def strobe(s: Studio) -> Take:
    """A dance floor: every other frame is dark, people are elsewhere at each flash."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        spots = s.spots(size, 2)
        black = np.zeros((s.height, s.width, 3), np.uint8)
        for number, canvas in enumerate(still_life(s, s.count(28))):
            if number % 4 == 0:
                spots = s.spots(size, 2)
            for person, (x, y) in enumerate(spots):
                canvas.head(s.heads[person], x, y, size, person=person)
            if number % 2:
                canvas.overlay(black, 0.92)
            yield canvas.to_av()

    return Take(frames())


@kind
def fade_in(s: Studio) -> Take:
    """A face that grows out of the background over two seconds."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        at = s.spot(size)
        count = s.count(40)
        for number, canvas in enumerate(still_life(s, count)):
            canvas.head(s.heads[0], *at, size, opacity=min(1.0, 1.25 * number / count))
            yield canvas.to_av()

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
            frame = scenes[front].to_av()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


@kind
def small_region(s: Studio) -> Take:
    """Nothing moves but a small part, in which a small face comes up."""

    def frames() -> Iterator[Frame]:
        size = 44.0 if s.small else 60.0
        spots = s.spots(size, 4)
        for number, canvas in enumerate(still_life(s, s.count(36))):
            for person, (x, y) in enumerate(spots):
                if number >= 5 + 7 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            yield canvas.to_av()

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
            frame = canvas.to_av()
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
                yield canvas.to_av()

    return Take(frames())


@kind
def flies_through(s: Studio) -> Take:
    """A head that crosses the whole frame in four or five frames."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        for flight in range(s.count(4)):
            yield from (Canvas(s.grain(wall)).to_av() for _ in range(int(s.rng.integers(2, 8))))
            y = s.rng.uniform(0.75 * size, s.height - 0.75 * size)
            steps = int(s.rng.integers(4, 6))
            for number in range(steps):
                canvas = Canvas(s.grain(wall))
                x = s.width * (number + 0.5) / steps
                canvas.head(s.heads[flight], x if flight % 2 else s.width - x, y, size)
                yield canvas.to_av()

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
            yield canvas.to_av()

    return Take(frames())


@kind
def door(s: Studio) -> Take:
    """A door opens and shuts at once, somebody is in it for three frames."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        x, y = s.spot(size)
        leaf = s.wall("bricks")
        for number, canvas in enumerate(still_life(s, s.count(33))):
            canvas.head(s.heads[number // 11 % 8], x, y, size, person=number // 11)
            if not 5 <= number % 11 < 8:
                canvas.cover(x - size, y - 1.2 * size, x + size, y + 1.2 * size, leaf)
            yield canvas.to_av()

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
            yield canvas.to_av()

    return Take(frames())


@kind
def behind_a_pole(s: Studio) -> Take:
    """Somebody else comes out behind what somebody went behind."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        y = 0.5 * s.height
        for number, canvas in enumerate(still_life(s, s.count(36))):
            x = 0.25 * s.width + 0.5 * s.width * number / s.count(36)
            canvas.head(s.heads[0 if x < 0.5 * s.width else 1], x, y, size)
            canvas.cover(0.5 * s.width - 0.8 * size, 0, 0.5 * s.width + 0.8 * size, s.height)
            yield canvas.to_av()

    return Take(frames())


@kind
def turns_to_the_camera(s: Studio) -> Take:
    """A head seen from behind, blurred hair, becomes a face between two frames."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        spots = s.spots(size, 2)
        for number, canvas in enumerate(still_life(s, s.count(30))):
            for person, (x, y) in enumerate(spots):
                turned = number % 10 >= 6 + person
                if turned:
                    canvas.head(s.heads[person], x, y, size, person=person)
                else:
                    canvas.head(s.heads[person], x, y, size, blur=0.35 * size, opacity=0.59)
                    # Hair alone: a blurred head of that kind is nobody's face.
                    canvas.placed[-1].opacity = 0.0
            yield canvas.to_av()

    return Take(frames())


@kind
def leans(s: Studio) -> Take:
    """Somebody leans: the head turns by 40 degrees to and fro while the camera rolls."""

    def frames() -> Iterator[Frame]:
        size = s.size()
        at = s.spot(size)
        for number, canvas in enumerate(still_life(s, s.count(30))):
            if number >= 6:
                canvas.head(s.heads[0], *at, size, angle=35 * np.sin(number / 4))
            frame = canvas.to_av()
            yield Frame(cv2.GaussianBlur(frame.pixels, (0, 0), 0.6), frame.faces)

    return Take(frames())
