"""Further ways for a face to come unseen: screens, switched cameras, focus, weather, old film."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from tests.torture.film import Take
from tests.torture.kinds.cuts import pan
from tests.torture.scene import Canvas, Frame, TrueFace
from tests.torture.studio import Studio, kind, still


@kind
def multiplexed(s: Studio) -> Take:
    """A recorder that takes a frame of each of four cameras in turn; people come to two."""

    def frames() -> Iterator[Frame]:
        walls = [s.wall() for _ in range(4)]
        size = s.size()
        spots = [s.spot(size) for _ in range(4)]
        for number in range(s.count(32)):
            camera = number % 4
            canvas = Canvas(s.grain(walls[camera]))
            if camera % 2 and number >= 9:
                canvas.head(s.heads[camera], *spots[camera], size, person=camera)
            yield canvas.to_av()

    return Take(frames())


@kind
def interleaved(s: Studio) -> Take:
    """Two takes of one room, frame by frame in turn: empty in one, somebody in the other."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        x, y = s.spot(size)
        for number in range(s.count(28)):
            canvas = Canvas(s.grain(wall))
            if number % 2 and number >= 5:
                canvas.head(s.heads[0], x, y, size)
            yield canvas.to_av()

    return Take(frames())


@kind
def focus_pull(s: Studio) -> Take:
    """A lens out of focus that snaps in: coarse frames before and after are the same."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        period, sharp = int(s.rng.integers(9, 13)), int(s.rng.integers(2, 6))
        for number in range(s.count(30)):
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                canvas.head(s.heads[person], x, y, size, person=person)
            frame = canvas.to_av()
            if number % period < period - sharp:
                frame = Frame(cv2.GaussianBlur(frame.pixels, (0, 0), 0.3 * size), ())
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


@kind
def shaky_camera(s: Studio) -> Take:
    """A hand-held camera that shakes; somebody is there from one frame to the next."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(32)):
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                if number >= 6 + 11 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            turn = np.deg2rad(s.rng.normal(0, 1.0))
            dx, dy = s.rng.normal(0, 0.012 * s.width, 2)
            canvas.warp(np.array([[np.cos(turn), -np.sin(turn), dx],
                                  [np.sin(turn), np.cos(turn), dy]]))  # fmt: skip
            frame = canvas.to_av()
            yield Frame(s.grain(frame.pixels), frame.faces)

    return Take(frames())


@kind
def lights_on(s: Studio) -> Take:
    """A dark room that gets light over some frames; people sit in it."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(28)):
            light = float(np.clip(0.03 + (number - 7) * 0.14, 0.03, 1))
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                canvas.head(s.heads[person], x, y, size, person=person, opacity=1.0)
            frame = canvas.to_av()
            pixels = (frame.pixels * light).astype(np.uint8)
            yield Frame(s.grain(pixels), frame.faces if light > 0.35 else ())

    return Take(frames())


@kind
def rushes_in(s: Studio) -> Take:
    """Somebody runs at the camera, from a speck to a face within eight frames."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        for run in range(s.count(2)):
            x, y = s.spot(1.3 * size)
            yield from (Canvas(s.grain(wall)).to_av() for _ in range(int(s.rng.integers(3, 8))))
            for number in range(12):
                canvas = Canvas(s.grain(wall))
                now = 1.3 * size / max(1.0, 8.0 - number) ** 1.2
                canvas.head(s.heads[run], x, y, now, person=run)
                yield canvas.to_av()

    return Take(frames())


@kind
def frozen(s: Studio) -> Take:
    """A stream that freezes, the same frame over and over, and goes on with people."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        for stall in range(3):
            first = Canvas(s.grain(wall)).to_av()
            yield from (first for _ in range(int(s.rng.integers(5, 11))))
            x, y = s.spot(size)
            for number in range(int(s.rng.integers(2, 6))):
                canvas = Canvas(s.grain(wall))
                canvas.head(s.heads[stall], x + 2 * number, y, size, person=stall)
                last = canvas.to_av()
                yield last
            yield from (last for _ in range(2))

    return Take(frames())


@kind
def first_frames(s: Studio) -> Take:
    """People who are there in the first frames only, and nobody after."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        x, y = s.spot(size)
        there = int(s.rng.integers(1, 4))
        for number in range(s.count(16)):
            canvas = Canvas(s.grain(wall))
            if number < there:
                canvas.head(s.heads[0], x, y, size)
            yield canvas.to_av()

    return Take(frames())


@kind
def wipe(s: Studio) -> Take:
    """One scene pushes the other out sideways, people in both; nowhere a cut."""

    def frames() -> Iterator[Frame]:
        walls, size = (s.wall(), s.wall()), s.size()
        spots = [s.spots(size, 2), s.spots(size, 2)]
        for number in range(s.count(30)):
            share = float(np.clip((number - 9) / 10, 0, 1))
            line = round(share * s.width)
            canvas = Canvas(s.grain(np.concatenate([walls[1][:, :line], walls[0][:, line:]], 1)))
            later = Canvas(canvas.pixels)
            for person, (x, y) in enumerate(spots[0]):
                canvas.head(s.heads[person], x, y, size, person=person)
            for person, (x, y) in enumerate(spots[1], 2):
                later.head(s.heads[person], x, y, size, person=person)
            canvas.pixels[:, :line] = later.pixels[:, :line]
            canvas.owner[:, :line] = np.where(
                later.owner[:, :line] > 0, later.owner[:, :line] + len(canvas.placed), 0
            )
            canvas.placed += later.placed
            yield canvas.to_av()

    return Take(frames())


@kind
def confetti(s: Studio) -> Take:
    """Paper rains before everything: a frame that changes everywhere; people come in."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(30)):
            canvas = Canvas(s.grain(wall))
            for person, (x, y) in enumerate(spots):
                if number >= 5 + 8 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            for _ in range(160):
                x, y = s.rng.uniform(0, s.width), s.rng.uniform(0, s.height)
                wide, high = s.rng.uniform(0.03, 0.09, 2) * size
                colour = s.rng.integers(0, 256, 3)
                canvas.pixels[int(y) : int(y + high), int(x) : int(x + wide)] = colour
            yield canvas.to_av()

    return Take(frames())


@kind
def flickering_wall(s: Studio) -> Take:
    """A video wall flickers beside a part that stands still; faces come in both."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        middle = s.width // 2
        spots = [(0.25 * s.width, 0.5 * s.height), (0.75 * s.width, 0.5 * s.height)]
        for number in range(s.count(30)):
            background = s.grain(wall)
            cells = s.rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            shown = cv2.resize(cells, (middle, s.height), interpolation=cv2.INTER_CUBIC)
            background[:, :middle] = shown
            canvas = Canvas(background)
            for person, (x, y) in enumerate(spots):
                if number >= 6 + 7 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            yield canvas.to_av()

    return Take(frames())


@kind
def low_quality(s: Studio) -> Take:
    """A stream squeezed until blocks show; somebody comes in."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        for number in range(s.count(32)):
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                if number >= 7 + 9 * person:
                    canvas.head(s.heads[person], x + number, y, size, person=person)
            yield canvas.to_av()

    return Take(frames(), crf=33)


@kind
def old_film(s: Studio) -> Take:
    """Grey, 18 frames a second, flickering, jumping in the gate, with dust; frames are missing."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(size, 2)
        walked = 0.0
        for number in range(s.count(30)):
            walked += 0.05 * size if s.rng.random() > 0.15 else size
            canvas = Canvas(wall)
            for person, (x, y) in enumerate(spots):
                if number >= 8 * person:
                    at = (x + walked) % s.width if person == 0 else x
                    canvas.head(s.heads[person], at, y, size, person=person)
            canvas.warp(np.array([[1.0, 0, s.rng.normal(0, 2)], [0, 1.0, s.rng.normal(0, 3)]]))
            frame = canvas.to_av()
            grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY) * s.rng.uniform(0.75, 1.1)
            pixels = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
            for _ in range(6):
                x, y = int(s.rng.uniform(0, s.width)), int(s.rng.uniform(0, s.height))
                pixels[y : y + 3, x : x + 4] = 230
            yield Frame(s.grain(pixels, 6.0), frame.faces)

    return Take(frames(), rate=18)


def _quarter(frame: Frame) -> Frame:
    """A frame turned counter-clockwise by a quarter, its truth with it."""
    width = frame.pixels.shape[1]
    faces = tuple(
        TrueFace(
            (f.box[1], width - f.box[2], f.box[3], width - f.box[0]),
            np.ascontiguousarray(np.rot90(f.cells)),
            f.person,
        )
        for f in frame.faces
    )
    return Frame(np.ascontiguousarray(np.rot90(frame.pixels)), faces)


@kind
def portrait_phone(s: Studio) -> Take:
    """A phone held upright: stored lying on its side, people come in."""
    tall = Studio(s.rng, s.height, s.width, s.long, s.small)

    def frames() -> Iterator[Frame]:
        wall, size = tall.wall(), tall.size()
        spots = tall.spots(size, 2)
        for number in range(s.count(28)):
            canvas = Canvas(tall.grain(wall))
            for person, (x, y) in enumerate(spots):
                if number >= 6 + 8 * person:
                    canvas.head(s.heads[person], x + number, y, size, person=person)
            yield _quarter(canvas.to_av())

    return Take(frames(), quarter_turns=-1)


@kind
def ultra_wide(s: Studio) -> Take:
    """A panorama four times as wide as high; people come up in it."""
    flat = Studio(s.rng, s.width * 3 // 2, s.height * 3 // 4, s.long, s.small)

    def frames() -> Iterator[Frame]:
        wall, size = flat.wide(1.0), 0.8 * flat.size()
        spots = flat.spots(size, 3)
        for number in range(s.count(28)):
            canvas = Canvas(flat.grain(wall))
            for person, (x, y) in enumerate(spots):
                if number >= 4 + 7 * person:
                    canvas.head(s.heads[person], x, y, size, person=person)
            yield canvas.to_av()

    return Take(frames())


@kind
def tiny_video(s: Studio) -> Take:
    """A frame of 176x144; somebody pops up and is gone."""
    tiny = Studio(s.rng, 176, 144, s.long, s.small)

    def frames() -> Iterator[Frame]:
        wall = tiny.wall()
        for visit in range(3):
            yield from (Canvas(tiny.grain(wall)).to_av() for _ in range(int(s.rng.integers(4, 9))))
            x, y = tiny.spot(36)
            for _ in range(int(s.rng.integers(2, 5))):
                canvas = Canvas(tiny.grain(wall))
                canvas.head(s.heads[visit], x, y, 36, person=visit)
                yield canvas.to_av()
        yield from still(wall, 5)

    return Take(frames())


@kind
def two_come_while_one_stays(s: Studio) -> Take:
    """Somebody talks to the camera all the time; others pass behind for moments."""

    def frames() -> Iterator[Frame]:
        wall, size = s.wall(), s.size()
        spots = s.spots(0.8 * size, 4)
        big = 1.7 * size
        for number in range(s.count(36)):
            canvas = Canvas(s.grain(wall))
            guest = number // 9
            if number % 9 >= 6 and guest < len(spots):
                canvas.head(s.heads[guest + 1], *spots[guest], 0.8 * size, person=guest + 1)
            nod = 0.02 * size * np.sin(number / 2)
            canvas.head(s.heads[0], 0.5 * s.width + nod, 0.55 * s.height, big)
            yield canvas.to_av()

    return Take(frames())


@kind
def pan_stops_and_goes(s: Studio) -> Take:
    """A camera that is turned in jerks: some frames fast, some not at all."""

    def speed(share: float) -> float:
        return 0.22 if int(share * 40) % 7 < 2 else 0.0

    return Take(pan(s, s.count(38), speed, 6, smear=0.05))
