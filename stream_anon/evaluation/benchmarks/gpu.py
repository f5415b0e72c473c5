"""What a GPU alone can show, in one command: ``make gpu-check``.

Times of each kernel over batch sizes, the noise kernel's bandwidth, the networks, whole runs of
several streams, memory and parity; written to ``docs/results/gpu-<device>.md``. The same functions
run on the kernels' twins in the tests, with small numbers, so that what measures is tried too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stream_anon.device import gpus, missing_for_cuda
from stream_anon.errors import StreamAnonError
from stream_anon.evaluation.benchmarks.gpu_kernels import kernel_times, noise_bandwidth
from stream_anon.evaluation.benchmarks.gpu_media import media_table
from stream_anon.kernels.cuda import CupyModule, MemoryModule
from stream_anon.media.device.kernels import cuda_kernels
from stream_anon.models import WEIGHTS
from stream_anon.models.torch_engine import TorchEngine

FRAMES = (1, 8, 32)
"""Frames of a batch."""
FACES = 8
"""Faces of a frame."""
STREAMS = (1, 2, 4)


@dataclass
class Findings:
    """Lines of the page that is written.

    Attributes:
        device: its name.
        lines: Markdown.
        failed: sections that could not be measured, with the reason.
    """

    device: str
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def section(self, title: str, body: Callable[[], list[str]]) -> None:
        """A section, or the reason why there is none: the others are measured all the same."""
        try:
            found = body()
        except (StreamAnonError, RuntimeError, ValueError, OSError, MemoryError) as error:
            self.failed.append(title)
            found = [f"Not measured: {type(error).__name__}: {error}"]
        self.lines += ["", f"## {title}", "", *found]


def kernels_table(
    load: Callable[[str], MemoryModule], clock: Callable[[Callable[[], None]], float],
    frames: tuple[int, ...] = FRAMES, faces: int = FACES, size: tuple[int, int] = (1920, 1080),
) -> list[str]:  # fmt: skip
    """A table of milliseconds a frame, kernel by kernel.

    Args:
        load: makes the module of a source.
        clock: seconds that a call takes, the best of a few.
        frames: batch sizes.
        faces: in each frame.
        size: of the frames.
    """
    columns = [kernel_times(load, clock, count, faces, size) for count in frames]
    head = " | ".join(f"{count} frames" for count in frames)
    rows = [f"| ms a frame, {faces} faces | {head} |", "|---" * (len(frames) + 1) + "|"]
    for name in columns[0]:
        cells = " | ".join(f"{1000.0 * column[name]:.4f}" for column in columns)
        rows.append(f"| {name} | {cells} |")
    total = " | ".join(f"{1000.0 * sum(column.values()):.4f}" for column in columns)
    return [*rows, f"| all | {total} |"]


def networks_table(
    device: str, precision: Any, batches: tuple[int, ...] = (1, 8, 32), repeat: int = 10
) -> list[str]:
    """Milliseconds a face of the networks that draw and tell faces."""
    shapes: dict[str, list[tuple[int, ...]]] = {
        "identity_encoder": [(3, 128, 128)],
        "identity_generator": [
            (4, 128, 128), (5, 64, 64), (58,), (2, 3), (128,), (4, 128, 128),
        ],
        "landmarks": [(1, 64, 64)],
    }
    rows = ["| ms a face | " + " | ".join(f"batch {b}" for b in batches) + " |"]
    rows.append("|---" * (len(batches) + 1) + "|")
    rng = np.random.default_rng(0)
    for name, given in shapes.items():
        net = TorchEngine(WEIGHTS / f"{name}.onnx", device, precision)
        cells = []
        for batch in batches:
            inputs = [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in given]
            net(inputs)
            began = time.perf_counter()
            for _ in range(repeat):
                net(inputs)
            cells.append(f"{1000.0 * (time.perf_counter() - began) / repeat / batch:.3f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def whole_runs(clip: Path, device: str, method: str, streams: tuple[int, ...]) -> list[str]:
    """Frames a second of whole runs side by side, each in a process of its own."""
    rows = ["| streams | frames a second, all together |", "|---|---|"]
    for count in streams:
        with tempfile.TemporaryDirectory() as folder:
            commands = [
                [sys.executable, "-m", "stream_anon", "redact", str(clip), "-o",
                 str(Path(folder) / f"{n}.mp4"), "--device", device, "--method", method,
                 "--verify", "off", "--report", str(Path(folder) / f"{n}.json")]
                for n in range(count)
            ]  # fmt: skip
            began = time.perf_counter()
            with ThreadPoolExecutor(count) as pool:
                done = list(pool.map(_run, commands))
            seconds = time.perf_counter() - began
            wrong = [one for one in done if one.returncode]
            if wrong:
                raise RuntimeError(wrong[0].stderr.strip()[-300:])
            frames = sum(_frames_in(Path(folder) / f"{n}.json") for n in range(count))
            rows.append(f"| {count} | {frames / seconds:.1f} |")
    return rows


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def _frames_in(report: Path) -> int:
    found = re.search(r'"output": (\d+)', report.read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


def _tests() -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    done = _run(command)
    last = [line for line in done.stdout.splitlines() if line.strip()][-1:]
    if done.returncode:
        raise RuntimeError(" ".join(last) or done.stderr.strip()[-300:])
    return [*last]


def _gpu_clock() -> Callable[[Callable[[], None]], float]:
    import cupy

    def clock(call: Callable[[], None]) -> float:
        call()
        best = float("inf")
        for _ in range(5):
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            call()
            end.record()
            end.synchronize()
            best = min(best, cupy.cuda.get_elapsed_time(start, end) / 1000.0)
        return best

    return clock


def check(folder: Path, clip: Path | None) -> Findings:
    """Measure everything on the first GPU and write the page.

    Raises:
        RuntimeError: there is no GPU, or something of the installation is missing.
    """
    missing = missing_for_cuda()
    if missing is not None:
        raise RuntimeError(missing)
    import cupy

    card = gpus()[0]
    found = Findings(card.name)
    found.section("Tests", _tests)
    clock = _gpu_clock()
    found.section("Kernels at 1920x1080", lambda: kernels_table(CupyModule, clock))
    found.section("Noise for codes", lambda: noise_bandwidth(CupyModule("noise"), clock, 1 << 20))
    found.section("Networks, f16", lambda: networks_table("cuda:0", "f16"))
    if clip is not None:
        for device in ("cpu", "cuda"):
            title = f"Whole runs, {device}, pixelate, encoder libx264"
            found.section(title, partial(whole_runs, clip, device, "pixelate", STREAMS))
        on_and_off = partial(media_table, clip, cuda_kernels(), {"device": "cuda"})
        found.section("Onto the card and off it", on_and_off)
    pool = cupy.get_default_memory_pool().total_bytes() / 2**20
    found.section("Memory", lambda: [f"CuPy's pool after all of this: {pool:.0f} MiB."])
    slug = re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-")
    head = [f"# {card.name}", "", "Made by `make gpu-check`; what each line means: docs/gpu.md."]
    (folder / f"gpu-{slug}.md").write_text("\n".join([*head, *found.lines, ""]), encoding="utf-8")
    return found


def main() -> int:
    """The command: 0 where everything was measured, 1 where a part failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    parser.add_argument("--clip", type=Path, default=None, help="a 1080p clip for whole runs")
    options = parser.parse_args()
    try:
        found = check(options.results, options.clip)
    except RuntimeError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    print("\n".join(found.lines))
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
