"""Clips whose clock is wrong, restarts, or runs at an unusual rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tests.torture.film import CLOCK, Take
from tests.torture.scene import Canvas, Frame
from tests.torture.studio import Studio, kind, still


def walkers(s: Studio, count: int, rate: float = 25.0, skip: int = 1) -> Iterator[Frame]:
    """A street: people cross it at a walk, nearer ones before others, some enter late.

    Args:
        s: the clip's chance and measures.
        count: frames.
        rate: frames per second of the street itself.
        skip: only every so many frames are given: a slow camera.
    """
    wall = s.wall()
    span = count * skip / rate
    people = []
    for k in range(4 if s.small else 7):
        size = s.size() * s.rng.uniform(0.7, 1.0)
        way = 1 if s.rng.integers(2) else -1
        speed = way * s.rng.uniform(0.8, 2.0) * size
        # Each passes the middle at a time of its own, so somebody enters now and then.
        middle = span * (k + s.rng.uniform(0.2, 0.8)) / 5
        y = s.rng.uniform(0.75 * size, s.height - 0.8 * size)
        people.append((size, speed, middle, y, s.heads[k], k))
    people.sort(key=lambda one: one[0])
    for number in range(count):
        now = number * skip / rate
        canvas = Canvas(s.grain(wall))
        for size, speed, middle, y, head, person in people:
            x = s.width / 2 + speed * (now - middle)
            bob = 0.04 * size * np.sin(2 * np.pi * 1.8 * now + person)
            canvas.head(head, x, y + bob, size, person=person)
        yield canvas.to_av()


def enter(s: Studio, empty: int, count: int) -> Iterator[Frame]:
    """A room in which nobody is for some frames; then people are there and move a little."""
    wall = s.wall()
    size = s.size()
    spots = s.spots(size, 2)
    for number in range(empty + count):
        canvas = Canvas(s.grain(wall))
        if number >= empty:
            for person, (x, y) in enumerate(spots):
                drift = 0.6 * (number - empty) * (1 if person else -1)
                canvas.head(s.heads[person], x + drift, y, size, person=person)
        yield canvas.to_av()


@kind
def joined_restart(s: Studio) -> Take:
    """Two recordings joined: the clock starts again, people come in after it."""
    second = Take(enter(s, s.count(8), s.count(20)), suffix="ts")
    return Take(still(s.wall(), s.count(30)), suffix="ts", more=[second])


@kind
def late_packet(s: Studio) -> Take:
    """One packet whose time is 30 s too late, then people."""
    wrong = s.count(10)
    return Take(
        enter(s, wrong + 4, s.count(24)), suffix="ts",
        times=lambda n: n / 25 + (30.0 if n == wrong else 0.0),
    )  # fmt: skip


@kind
def street_twice(s: Studio) -> Take:
    """A street, and another, joined as one stream; both clocks begin at the same time."""
    second = Take(walkers(s, s.count(26)), suffix="ts")
    return Take(walkers(s, s.count(26)), suffix="ts", more=[second])


def _slow(skip: int) -> Callable[[Studio], Take]:
    def make(s: Studio) -> Take:
        return Take(walkers(s, s.count(24), 25.0, skip), rate=25 / skip)

    make.__name__ = f"every_{skip}"
    make.__doc__ = f"Every {skip}th frame of a street: a low frame rate."
    return make


for _skip in (3, 5, 8):
    kind(_slow(_skip))


@kind
def times_zero(s: Studio) -> Take:
    """Every frame at time zero."""
    return Take(enter(s, 5, s.count(24)), suffix="ts", times=lambda n: 0.0)


@kind
def times_one_tick(s: Studio) -> Take:
    """Frames 1/90000 s apart."""
    return Take(enter(s, 5, s.count(24)), suffix="ts", times=lambda n: n / CLOCK)


@kind
def one_millisecond(s: Studio) -> Take:
    """A street squeezed to 1 ms a frame."""
    return Take(walkers(s, s.count(40)), suffix="mkv", times=lambda n: n / 1000)


@kind
def retimed_240(s: Studio) -> Take:
    """A street at 25 frames a second, marked as 240."""
    return Take(walkers(s, s.count(40)), rate=240)


@kind
def times_repeat(s: Studio) -> Take:
    """Each time stands for ten frames."""
    return Take(enter(s, 6, s.count(30)), suffix="ts", times=lambda n: (n // 10) * 0.4)


@kind
def times_run_back(s: Studio) -> Take:
    """The clock runs backwards from a minute on."""
    return Take(enter(s, 6, s.count(26)), suffix="ts", times=lambda n: 60.0 - n / 25)


@kind
def times_saw(s: Studio) -> Take:
    """The clock falls back by a second in every eighth frame."""
    return Take(enter(s, 9, s.count(26)), suffix="ts", times=lambda n: n / 25 - (n // 8) * 1.0 + 20)


@kind
def times_jump(s: Studio) -> Take:
    """An hour is missing; the people come with the frame after."""
    gap = s.count(12)
    return Take(
        enter(s, gap, s.count(20)), suffix="mkv", times=lambda n: n / 25 + 3600.0 * (n >= gap)
    )


@kind
def times_wrap(s: Studio) -> Take:
    """The 33 bits of MPEG-TS run over before the people come."""
    wrap = s.count(12)
    offset = (1 << 33) - round((1.0 + wrap / 25) * CLOCK)
    return Take(enter(s, wrap + 3, s.count(20)), suffix="ts", offset=offset)


@kind
def times_missing(s: Studio) -> Take:
    """No packet but every fifth has a time."""
    return Take(
        enter(s, 8, s.count(24)), suffix="ts", times=lambda n: n / 25 if n % 5 == 0 else None
    )


@kind
def times_drift(s: Studio) -> Take:
    """Times that creep forward by ever smaller steps: the clock nearly stands."""
    return Take(
        enter(s, 10, s.count(24)), suffix="mkv", times=lambda n: 0.4 - 0.4 * 0.8**n + n / 1000
    )


@kind
def sixty_ten_bit(s: Studio) -> Take:
    """Sixty frames a second with ten bits."""
    return Take(walkers(s, s.count(50), 60.0), rate=60, pix_fmt="yuv420p10le")


@kind
def variable_rate(s: Studio) -> Take:
    """A phone's: the rate wanders between 8 and 60 frames a second."""
    steps = np.cumsum(s.rng.choice([1 / 60, 1 / 30, 1 / 15, 1 / 8], 4000))
    return Take(walkers(s, s.count(36), 20.0), suffix="mkv", times=lambda n: float(steps[n]))
