"""What it saves to run the detector's network on several tiles at once, by processor time.

    python -m tests.live.costs.batch [--rounds 12]

For each input size and each batch: milliseconds of the processor for one tile, the median of
rounds that take turns, so that what else the machine does falls on all of them alike; and
megabytes that an engine of this size and batch adds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from stream_anon.detection.base import TILE_SIZES
from stream_anon.models import registry
from stream_anon.models.engine import Engine

BATCHES = (1, 2, 4)
SIZES = (*TILE_SIZES[:3], (640, 352))


def megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(rounds: int) -> dict[str, dict[str, list[float]]]:
    path, rng = registry.path("centerface", None), np.random.default_rng(0)
    found: dict[str, dict[str, list[float]]] = {}
    for width, height in SIZES:
        engines, added = {}, {}
        for batch in BATCHES:
            before = megabytes()
            engine = Engine(
                path, {"input.1": (batch, 3, height, width)}, "auto", 1, images="RGB"
            )
            tiles = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
            for _ in range(3):
                engine([tiles])
            engines[batch], added[batch] = (engine, tiles), megabytes() - before
        turns = max(2, 400_000 // (width * height))
        times: dict[int, list[float]] = {batch: [] for batch in BATCHES}
        for _ in range(rounds):
            for batch, (engine, tiles) in engines.items():
                began = time.process_time()
                for _ in range(turns):
                    engine([tiles])
                times[batch].append((time.process_time() - began) / turns / batch * 1000)
        found[f"{width}x{height}"] = {
            f"batch {batch}": [
                round(statistics.median(times[batch]), 2), round(added[batch], 1),
            ]
            for batch in BATCHES
        }  # fmt: skip
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    for size, told in main(parser.parse_args().rounds).items():
        print(size, json.dumps(told), flush=True)
