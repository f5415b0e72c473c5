"""How much of a device's memory one stream takes: a bound that is computed, and what was counted.

    python -m stream_anon.evaluation.benchmarks.gpu_memory CLIP [--device twin|cuda] [--preset NAME]

What the networks take is shared by all streams and not part of it.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from stream_anon import recipes
from stream_anon.config import Config, load, override
from stream_anon.detection.base import Detector
from stream_anon.kernels.memory import Meter, Metered
from stream_anon.kernels.twin import TwinModule
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.device.pool import SPARE
from stream_anon.media.device.source import DeviceSource
from stream_anon.media.device.surface import pitch_of
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.analysis import DetectAndTrack, make_analyzer
from stream_anon.pipeline.ends import make_sink, make_source
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.places import BATCH
from stream_anon.pipeline.painting.targets import make_targets, other_methods
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import QUEUE, Pipeline
from stream_anon.tracking.tracker import Tracker

TABLES = 8192
"""Bytes of a frame's tables, each rounded up to what an allocator hands out."""

CROP_COPIES = 8
"""Copies of a face's crop at once: cut, given, drawn, checked, chosen, and steps between them."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one stream takes at most.

    Attributes:
        waiting: frames that wait for the tracker.
        elsewhere: frames between decoder and encoder beside them, spare memory included.
        frame: bytes of one.
        work: bytes of crops, thumbnails and other passing things.
    """

    waiting: int
    elsewhere: int
    frame: int
    work: int

    @property
    def total(self) -> int:
        """Bytes."""
        return (self.waiting + self.elsewhere) * self.frame + self.work

    def __str__(self) -> str:
        return (
            f"{self.total / 1e6:.0f} MB: {self.waiting} frames that wait for the tracker and "
            f"{self.elsewhere} elsewhere of {self.frame / 1e6:.2f} MB each, "
            f"{self.work / 1e6:.1f} MB of crops and thumbnails"
        )


def surface_bytes(width: int, height: int, depth: int = 8) -> int:
    """Bytes of a frame on a device."""
    each = 1 if depth == 8 else 2
    small = (height + 1) // 2
    return pitch_of(width, each) * height + pitch_of(2 * ((width + 1) // 2), each) * small


def stream_bound(
    config: Config, width: int, height: int, rate: float, depth: int = 8,
    batch: int = BATCH, faces: int = 8, side: int = 128,
) -> Bound:  # fmt: skip
    """The bound for one stream.

    Args:
        config: whose tracker says how many frames wait.
        width, height, rate, depth: of the video.
        batch: frames that are painted together.
        faces: in each of them.
        side: of the crops of the method.
    """
    tracker = Tracker(
        config.tracker, width, height, rate, itertools.count(1), config.detector.threshold, 0,
        config.detector.smallest_face,
    )  # fmt: skip
    frame = surface_bytes(width, height, depth) + TABLES
    affordable = (config.tracker.window_megabytes << 20) // surface_bytes(width, height, depth)
    wanted = math.ceil(tracker.delay * rate) + 2
    waiting = max(tracker.least_waiting, min(affordable, wanted)) + 1
    # The reader's, its queue, the analyst's, his queue, the painter's, what he hands to the
    # encoder, and what is kept for the next frames.
    elsewhere = 1 + QUEUE + 1 + 2 * batch + batch + 1 + SPARE
    crops = CROP_COPIES * batch * faces * side * side * 3
    thumbnail = 3 * width * height
    return Bound(waiting, elsewhere, frame, crops + thumbnail)


def measured(
    clip: Path, config: Config, folder: Path, batch: int = BATCH, detector: Detector | None = None
) -> Meter:
    """A whole run on the twin, every array of its device counted.

    Args:
        clip: the input.
        config: of the run.
        folder: where the output goes.
        batch: frames that are painted together.
        detector: finds the faces; None takes the configuration's.
    """
    meter = Meter()
    made: dict[str, Metered] = {}

    def load_module(name: str) -> Metered:
        return made.setdefault(name, Metered(TwinModule(name), meter))

    kernels = DeviceKernels("cpu", load_module)
    place = Workplace(kernels=kernels, batch=batch)
    plan = make_plan(clip, folder / "out.mkv", config)
    targets = make_targets(config, place)
    source = DeviceSource(make_source(plan), kernels)
    analyzer = make_analyzer(plan) if detector is None else DetectAndTrack(detector, config)
    others = other_methods(config, analyzer.methods, place)
    compositor = Compositor(targets, config.fault, others=others, place=place)
    Pipeline(plan, source, analyzer, compositor, make_sink(plan, source.info)).run()
    return meter


def pool_bytes() -> int:
    """What CuPy's pool holds: where nobody trims it, the most that was ever used at once."""
    import cupy

    return int(cupy.get_default_memory_pool().total_bytes())


def cuda_peak(clip: Path, config: Config, folder: Path) -> int:
    """The most that CuPy's pool held in a whole run on the first GPU, in bytes."""
    import cupy

    from stream_anon import api

    cupy.get_default_memory_pool().free_all_blocks()
    before = pool_bytes()
    api.redact(clip, folder / "out.mkv", config=override(config, device="cuda"))
    return pool_bytes() - before


@click.command()
@click.argument("clip", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--device", type=click.Choice(["twin", "cuda"]), default="twin", show_default=True)
@click.option("--preset", default=None)
def main(clip: Path, device: str, preset: str | None) -> None:
    """Print the bound of a clip's stream and what a run took."""
    from stream_anon.media.input.probe import probe

    config = load(recipes.preset(preset)) if preset else Config()
    config = override(config, **{"method.name": "pixelate", "verify.mode": "off"})
    video = probe(clip).video[0].video
    if video is None:
        raise click.ClickException(f"{clip}: holds no video")
    bound = stream_bound(config, video.width, video.height, float(video.rate or 25))
    click.echo(f"bound: {bound}")
    with tempfile.TemporaryDirectory() as folder:
        if device == "cuda":
            found = cuda_peak(clip, config, Path(folder))
        else:
            found = measured(clip, config, Path(folder)).peak
    click.echo(f"counted on {device}: {found / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
