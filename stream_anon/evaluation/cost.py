"""What a face costs: milliseconds for each network on one and two threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ModelError
from stream_anon.evaluation.report import Column, Section, Table
from stream_anon.geometry import TEMPLATE

Pixels = NDArray[np.uint8]
Call = Callable[[Pixels], object]

THREADS = (1, 2)


def cost(pictures: Pixels, repeats: int, tell: Callable[[str], None]) -> Section:
    """Time the project's networks, one face at a time and four at a time.

    Args:
        pictures: (n, 128, 128, 3) uint8 RGB, n >= 4.
        repeats: calls that are timed, after a warm-up.
        tell: hears what is being done.
    """
    table = Table(
        "Milliseconds a face, median over calls",
        [Column("network"), Column("faces a call", "number")]
        + [Column(f"{n} thread{'s' if n > 1 else ''}, ms", "ms") for n in THREADS],
        note="Measured beside whatever else ran on the machine.",
    )
    missing: list[str] = []
    for name, make in (("identity encoder", _encoder), ("identity generator", _generator)):
        tell(f"cost: {name}")
        for size in (1, 4):
            cells: list[float | None] = []
            for threads in THREADS:
                try:
                    cells.append(_pace(make(threads), pictures[:size], repeats))
                except ModelError as error:
                    missing.append(f"{name}: {error}")
                    cells.append(None)
            table.add(name, size, *cells)
    text = "In the engine and precision that ship on this processor."
    if missing:
        text += " Not run: " + "; ".join(dict.fromkeys(missing)) + "."
    return Section("cost", "Cost", text, [table])


def _encoder(threads: int) -> Call:
    from stream_anon.networks.identity import IdentityEncoder

    return IdentityEncoder(threads=threads)


def _generator(threads: int) -> Call:
    from stream_anon.networks.identity import IdentityGenerator, prior_codes

    generator = IdentityGenerator(threads=threads)
    codes = prior_codes(8, np.random.default_rng(0))

    def call(pictures: Pixels) -> object:
        points = np.broadcast_to(TEMPLATE.astype(np.float32), (len(pictures), 5, 2))
        return generator(pictures, np.ascontiguousarray(points), codes[: len(pictures)])

    return call


def _pace(call: Call, pictures: Pixels, repeats: int) -> float:
    for _ in range(3):
        call(pictures)
    times: Sequence[float] = [_timed(call, pictures) for _ in range(repeats)]
    return 1e3 * float(np.median(times)) / len(pictures)


def _timed(call: Call, pictures: Pixels) -> float:
    began = time.perf_counter()
    call(pictures)
    return time.perf_counter() - began
