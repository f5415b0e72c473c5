"""What a face costs: milliseconds for each network on one and two threads."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.landmark_net import SIDE, LandmarkFinder
from stream_anon.errors import ModelError
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Table, reason
from stream_anon.geometry import TEMPLATE
from stream_anon.methods.generative import networks as identity

Pixels = NDArray[np.uint8]
Call = Callable[[Pixels], object]

THREADS = (1, 2)
SIZES = (1, 4)
"""Faces in one call."""

WARM_UP = 3


def cost(images: Pixels, repeats: int, tell: Callable[[str], None]) -> Section:
    """Time the project's networks.

    Args:
        images: (n, 128, 128, 3) uint8 RGB, n >= 4.
        repeats: calls that are timed, after a warm-up.
        tell: hears what is being done.
    """
    columns = [Column("network"), Column("faces a call", "number")]
    for n in THREADS:
        name = f"{n} thread" + ("s" if n > 1 else "")
        columns += [Column(f"{name}: {what}, ms", "ms") for what in ("median", "fastest", "CPU")]
    table = Table(
        "Milliseconds a face",
        columns,
        note="Median and fastest call by the clock, with whatever else ran on the machine; CPU is "
        "the processor time of all threads, which others disturb least.",
    )
    missing: list[str] = []
    networks: tuple[tuple[str, Callable[[int], Call]], ...] = (
        ("identity encoder", lambda threads: identity.IdentityEncoder(threads=threads)),
        ("identity generator", lambda threads: _drawing(identity.IdentityGenerator(threads))),
        ("landmark net", lambda threads: _finding(LandmarkFinder(threads))),
        ("appearance encoder", lambda threads: identity.AppearanceEncoder(threads=threads)),
        ("appearance generator", lambda threads: _drawing(identity.AppearanceGenerator(threads))),
    )
    for name, make in networks:
        tell(f"cost: {name}")
        try:
            calls = [make(threads) for threads in THREADS]
        except ModelError as error:
            missing.append(f"{name}: {reason(error)}")
            continue
        for size in SIZES:
            cells: list[Cell] = []
            for call in calls:
                cells += pace(call, images[:size], repeats)
            table.add(name, size, *cells)
    text = "In the engine and precision that ship on this processor."
    if missing:
        text += " Not run: " + "; ".join(missing) + "."
    return Section("cost", "Cost", text, [table] if table.rows else [], not_run=missing)


def pace(call: Call, images: Pixels, repeats: int) -> list[float]:
    """Median, fastest and processor milliseconds for each face of a call."""
    for _ in range(WARM_UP):
        call(images)
    times = []
    processor = time.process_time()
    for _ in range(repeats):
        began = time.perf_counter()
        call(images)
        times.append(time.perf_counter() - began)
    processor = (time.process_time() - processor) / repeats
    scale = 1e3 / len(images)
    return [scale * float(np.median(times)), scale * min(times), scale * processor]


def _drawing(generator: identity.IdentityGenerator) -> Call:
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((max(SIZES), generator.dimension)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    points = np.tile(TEMPLATE.astype(np.float32), (max(SIZES), 1, 1))
    return lambda images: generator(images, points[: len(images)], codes[: len(images)])


def _finding(finder: LandmarkFinder) -> Call:
    def call(images: Pixels) -> object:
        small = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in images]
        return finder([cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.uint8) for p in small])

    return call
