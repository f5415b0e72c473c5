"""What a GPU alone can show, in one command: ``make gpu-check``.

Times of each kernel over batch sizes, the noise kernel's bandwidth, the networks, whole runs of
several streams, memory and parity; written to ``docs/results/gpu-<device>.md``. The same functions
run on the kernels' twins in the tests, with small numbers, so that what measures is tried too.
"""

from __future__ import annotations

import argparse
import json
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

import av
import numpy as np

from stream_anon.config import Config, FaultConfig, override
from stream_anon.device import gpus, missing_for_cuda
from stream_anon.errors import ModelError, StreamAnonError
from stream_anon.evaluation.benchmarks.gpu_kernels import kernel_times, noise_bandwidth
from stream_anon.evaluation.benchmarks.gpu_media import media_table
from stream_anon.evaluation.benchmarks.gpu_memory import cuda_peak, stream_bound
from stream_anon.kernels.cuda import CupyModule, MemoryModule
from stream_anon.media.device.frame import DeviceFrame, from_av
from stream_anon.media.device.kernels import DeviceKernels, cuda_kernels
from stream_anon.media.input.probe import probe
from stream_anon.methods import make_method
from stream_anon.methods.workplace import Workplace
from stream_anon.models import WEIGHTS, registry
from stream_anon.models.torch_engine import TorchEngine
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.regions import FrameKey, Region, Regions

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
    for title, left in (("(1) to (6)", "(7)"), ("all", "-")):
        sums = (sum(v for k, v in column.items() if not k.startswith(left)) for column in columns)
        rows.append(f"| {title} | " + " | ".join(f"{1000.0 * one:.4f}" for one in sums) + " |")
    return rows


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "identity_encoder": [(3, 128, 128)],
    "appearance_encoder": [(3, 128, 128)],
    "identity_generator": [
        (4, 128, 128), (5, 64, 64), (58,), (2, 3), (128,), (4, 128, 128),
    ],
    "appearance_generator": [(4, 128, 128), (5, 64, 64), (58,), (2, 3), (64,)],
    "landmarks": [(1, 64, 64)],
    "face_mesh": [(192, 192, 3)],
    "centerface": [(3, 544, 960)],
}  # fmt: skip
"""What the networks of a run take, a row each."""


def _networks() -> dict[str, Path]:
    """Those whose weights are here."""
    found = {}
    for name in SHAPES:
        path = WEIGHTS / f"{name}.onnx"
        try:
            found[name] = path if path.exists() else registry.path(name, None, fetch=False)
        except ModelError:
            continue
    return found


def _inputs(name: str, batch: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [0.3 * rng.standard_normal((batch, *one)).astype(np.float32) for one in SHAPES[name]]


def networks_table(
    device: str, precision: Any, batches: tuple[int, ...] = (1, 8, 32), repeat: int = 10
) -> list[str]:
    """Milliseconds a face, or a frame, of every network of a run whose weights are here."""
    rows = ["| ms a face | " + " | ".join(f"batch {b}" for b in batches) + " |"]
    rows.append("|---" * (len(batches) + 1) + "|")
    for name, path in _networks().items():
        net = TorchEngine(path, device, precision)
        cells = []
        for batch in batches:
            inputs = _inputs(name, batch)
            net(inputs)
            began = time.perf_counter()
            for _ in range(repeat):
                net(inputs)
            cells.append(f"{1000.0 * (time.perf_counter() - began) / repeat / batch:.3f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def parity_table(device: str, precisions: tuple[Any, ...] = ("f32", "f16")) -> list[str]:
    """How far torch's answers are from those of torch on the CPU in f32, in their deviation."""
    rows = ["| mean difference over deviation | " + " | ".join(precisions) + " |"]
    rows.append("|---" * (len(precisions) + 1) + "|")
    for name, path in _networks().items():
        inputs, cells = _inputs(name, 2), []
        wanted = TorchEngine(path, "cpu", "f32")(inputs)
        for precision in precisions:
            found = TorchEngine(path, device, precision)(inputs)
            off = max(
                float(np.abs(one - two).mean() / max(float(two.std()), 1e-3))
                for one, two in zip(found, wanted, strict=True)
            )
            cells.append(f"{off:.5f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def painting_table(
    kernels: DeviceKernels, batches: tuple[int, ...] = (1, 2, 4, 8), faces: int = FACES,
    size: tuple[int, int] = (1920, 1080), repeat: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> list[str]:  # fmt: skip
    """Milliseconds a frame from upload to planes in the host's memory, gate and checks included."""
    rows = ["| ms a frame | " + " | ".join(f"batch {b}" for b in batches) + " |"]
    rows.append("|---" * (len(batches) + 1) + "|")
    for method in ("pixelate", "blur", "fill", "visual-mixer"):
        cells = []
        for batch in batches:
            place = Workplace(kernels=kernels, batch=batch)
            section = override(Config(), **{"method.name": method}).method
            gate = Compositor(make_method(section, place), FaultConfig(policy="stop"), place=place)
            best = float("inf")
            for _ in range(repeat + 1):
                frames = [_frame(kernels, n, size) for n in range(batch)]
                regions = [_regions(frame.key, faces, size) for frame in frames]
                began = clock()
                cleared = gate.paint_all(list(zip(frames, regions, strict=True)))
                for one in cleared:
                    one.take().to_av()
                best = min(best, (clock() - began) / batch)
            gate.close()
            cells.append(f"{1000.0 * best:.3f}")
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
    return rows


def _frame(kernels: DeviceKernels, number: int, size: tuple[int, int]) -> DeviceFrame:
    rng = np.random.default_rng(number)
    shown = rng.integers(16, 236, (size[1], size[0], 3), dtype=np.uint8)
    made = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="yuv420p")
    return from_av(made, kernels, index=number, pts=number)


def _regions(key: FrameKey, faces: int, size: tuple[int, int]) -> Regions:
    rng = np.random.default_rng(0)
    side = min(150.0, size[0] / 4, size[1] / 4)
    places = rng.uniform((0, 0), (size[0] - side, size[1] - side), (faces, 2))
    return Regions(
        key,
        tuple(
            Region(str(n + 1), "face", (x, y, x + side, y + side), None, 0.9, "detected")
            for n, (x, y) in enumerate(places.tolist())
        ),
    )


def whole_runs(clip: Path, device: str, method: str, streams: tuple[int, ...]) -> list[str]:
    """Frames a second of whole runs side by side, each in a process of its own, and where the
    time of one went: milliseconds a frame by stage, which work side by side."""
    rows = ["| streams | frames a second, all together | ms a frame, by stage |", "|---|---|---|"]
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
            reports = [
                json.loads((Path(folder) / f"{n}.json").read_text(encoding="utf-8"))
                for n in range(count)
            ]
            frames = sum(report["frames"]["output"] for report in reports)
            own = reports[0]["frames"]["output"]
            stages = ", ".join(
                f"{name} {1000.0 * spent / max(1, own):.2f}"
                for name, spent in reports[0]["time"]["wall"].items()
            )
            rows.append(f"| {count} | {frames / seconds:.1f} | {stages} |")
    return rows


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def _tests() -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    done = _run(command)
    last = [line for line in done.stdout.splitlines() if line.strip()][-1:]
    if done.returncode:
        raise RuntimeError(" ".join(last) or done.stderr.strip()[-300:])
    return [*last]


def _memory(clip: Path) -> list[str]:
    config = override(Config(), **{"method.name": "pixelate", "verify.mode": "off"})
    video = probe(clip).video[0].video
    if video is None:
        raise ValueError(f"{clip}: holds no video")
    bound = stream_bound(config, video.width, video.height, float(video.rate or 25))
    with tempfile.TemporaryDirectory() as folder:
        peak = cuda_peak(clip, config, Path(folder))
    return [f"At most {bound}; counted: {peak / 1e6:.0f} MB."]


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
    found.section("Parity of networks", lambda: parity_table("cuda:0"))
    found.section(
        "Painting at 1920x1080, 8 faces a frame", lambda: painting_table(cuda_kernels())
    )
    if clip is not None:
        for device in ("cpu", "cuda"):
            title = f"Whole runs, {device}, pixelate, encoder libx264"
            found.section(title, partial(whole_runs, clip, device, "pixelate", STREAMS))
        on_and_off = partial(media_table, clip, cuda_kernels(), {"device": "cuda"})
        found.section("Onto the card and off it", on_and_off)
        found.section("Memory of a stream", lambda: _memory(clip))
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
