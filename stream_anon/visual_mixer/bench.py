"""How long mixing takes: ``python -m stream_anon.visual_mixer.bench``.

Wall time says what this machine does now; processor time what it would do alone, which is the
figure to compare on a machine that does other work beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer.mix import DEFAULT_VFE, mix

FACE, IMAGE = 112, 224
FACES = 16
"""Different ones: an image that is mixed again and again would find everything in the cache."""


def sample(side: int, seed: int) -> NDArray[np.uint8]:
    """An image with smooth and busy places: scaled random colours under fine grain."""
    draw = np.random.default_rng(seed)
    result = np.zeros((side, side, 3), np.float64)
    for cells, strength in ((4, 60.0), (16, 35.0), (64, 12.0)):
        coarse = draw.normal(0.0, strength, (cells, cells, 3))
        result += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(result + 120.0, 0, 255), np.uint8)


def timed(action: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median wall and processor milliseconds of an action."""
    action()
    wall: list[float] = []
    used: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(wall) < 5:
        a, b = time.perf_counter(), time.process_time()
        action()
        used.append(time.process_time() - b)
        wall.append(time.perf_counter() - a)
    return 1e3 * float(np.median(wall)), 1e3 * float(np.median(used))


def _mix_many(job: tuple[int, float]) -> tuple[int, float, float]:
    """Mix images for some seconds: how many, wall seconds, processor seconds."""
    seed, seconds = job
    cv2.setNumThreads(1)
    images = [sample(IMAGE, seed * 100 + i) for i in range(8)]
    mix(images[0], os.urandom(KEY_BYTES), DEFAULT_VFE)
    wall, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        mix(images[count % 8], os.urandom(KEY_BYTES), DEFAULT_VFE)
        count += 1
    return count, time.perf_counter() - wall, time.process_time() - used


def measure(seconds: float, processes: int) -> dict[str, float]:
    """All figures.

    Args:
        seconds: spent on each.
        processes: that mix whole images side by side.
    """
    faces = itertools.cycle([sample(FACE, seed) for seed in range(FACES)])
    # As the method does it: the index is kept for the later frames of the track.
    new = timed(lambda: mix(next(faces), os.urandom(KEY_BYTES), DEFAULT_VFE).index, seconds)
    face = sample(FACE, 0)
    index = mix(face, os.urandom(KEY_BYTES), DEFAULT_VFE).index
    later = timed(lambda: np.take(face.ravel(), index), seconds)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        runs = pool.map(_mix_many, [(i, seconds) for i in range(processes)])
    used = sum(r[2] for r in runs) / sum(r[0] for r in runs)
    return {
        "face, first of a track: wall ms": new[0],
        "face, first of a track: processor ms": new[1],
        "face, later in a track: wall ms": later[0],
        "face, later in a track: processor ms": later[1],
        "224 px images a second, wall": sum(r[0] / r[1] for r in runs),
        "224 px image: processor ms": 1e3 * used,
        "224 px images a second by processor time": processes / used,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    print(
        json.dumps(
            {k: round(v, 3) for k, v in measure(given.seconds, given.processes).items()}, indent=1
        )
    )


if __name__ == "__main__":
    main()
