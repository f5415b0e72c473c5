"""Speed of ``redact`` beside a bare transcode of the same clip, interleaved in one process.

Machines are shared and their clocks move, so what counts is the ratio of two things that were
run in turns. The bare transcode decodes and encodes by PyAV at the settings that ``redact``
uses and throws the bytes away; nothing of it reaches a file.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stream_anon import recipes
from stream_anon.config import Config, override
from stream_anon.errors import InputError
from stream_anon.evaluation.benchmarks.gpu_memory import pool_bytes, stream_bound
from stream_anon.media.input.probe import probe
from stream_anon.media.output.encoders import ENCODERS, settings
from stream_anon.media.output.formats import default_suffix
from stream_anon.pipeline.plan import make_plan


@dataclass(frozen=True, slots=True)
class Timing:
    """One run over the clip.

    Attributes:
        frames: encoded.
        wall: seconds.
        processor: seconds of all threads of the process.
    """

    frames: int
    wall: float
    processor: float

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.wall


@dataclass(slots=True)
class SpeedComparison:
    """All runs over one clip.

    Attributes:
        clip: file name and frame size.
        loops: how often the clip was put end to end.
        bare, redact: timings, in the order they ran; they took turns.
        other: timings of another tool, by its name.
        stages: seconds of wall clock by stage in the last ``redact``.
        detections_run: share of the frames that the detector saw.
        faces: faces painted in each frame, on average.
        device_memory: bytes of a device's memory that the stream takes at most, by computation
            (``bound``), and that the process took (``counted``); empty on the CPU.
    """

    clip: str
    loops: int
    encoder: str
    method: str
    bare: list[Timing] = field(default_factory=list)
    redact: list[Timing] = field(default_factory=list)
    other: dict[str, Timing] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    detections_run: float = 0.0
    faces: float = 0.0
    device_memory: dict[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Median over the rounds of the rate of ``redact`` over that of the bare transcode."""
        pairs = zip(self.bare, self.redact, strict=True)
        return statistics.median(two.rate / one.rate for one, two in pairs)

    @property
    def processor_ratio(self) -> float:
        """The same for processor time per frame, which other work on the machine moves less."""
        pairs = zip(self.bare, self.redact, strict=True)
        return statistics.median(
            (one.processor / one.frames) / (two.processor / two.frames) for one, two in pairs
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, with the ratios."""
        return {**asdict(self), "ratio": self.ratio, "processor_ratio": self.processor_ratio}


def bench(
    clip: str | Path,
    config: Config,
    *,
    frames: int = 300,
    rounds: int = 3,
    say: Callable[[str], None] = lambda line: None,
) -> SpeedComparison:
    """Time both in turns.

    Args:
        clip: a video; looped to at least ``frames`` frames so that start-up does not count.
        config: of ``redact``.
        frames: see ``clip``.
        rounds: how often each of the two runs.
        say: is told what happens.

    Raises:
        InputError: the clip cannot be read.
        UsageError: the configuration does not fit the clip.
    """
    source = Path(clip)
    info = probe(source)
    video = info.video[0].video
    if video is None:
        raise InputError(f"{source}: holds no video")
    with looped(source, frames) as (long, loops):
        suffix, _ = default_suffix(info)
        target = long.with_name(f"out{suffix if suffix in ('.mp4', '.mkv') else '.mkv'}")
        plan = make_plan(long, target, config)
        codec = next(s.output_codec for s in plan.media.streams if s.action == "redact") or "h264"
        result = SpeedComparison(
            clip=f"{source.name} {video.width}x{video.height}",
            loops=loops,
            encoder=" ".join(
                [ENCODERS[codec].name]
                + [f"{k}={v}" for k, v in _options(codec, config).items() if k in ("crf", "preset")]
            ),
            method=config.method.name,
        )
        for number in range(rounds):
            result.bare.append(bare(long, codec, config))
            say(f"round {number + 1}: bare transcode {result.bare[-1].rate:.1f} frames/s")
            result.redact.append(_redact(long, target, config, result))
            say(f"round {number + 1}: redact         {result.redact[-1].rate:.1f} frames/s")
        if plan.device.name != "cpu":
            bound = stream_bound(config, video.width, video.height, float(video.rate or 25))
            result.device_memory = {"bound": bound.total, "counted": pool_bytes()}
    return result


@contextmanager
def looped(clip: Path, frames: int) -> Iterator[tuple[Path, int]]:
    """The clip's first video stream put end to end until it has enough frames.

    Packets are copied, so the decoder's work is that of the clip. The file has no name of its own
    on the disk, only a link through this process: it is gone with the process, however that ends.

    Raises:
        InputError: the clip cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="stream-anon-bench-") as folder:
        long = Path(folder) / "clip.mkv"
        handle = _nameless(folder)
        try:
            long.symlink_to(f"/proc/{os.getpid()}/fd/{handle}")
            loops = _loop(clip, long, frames)
            yield long, loops
        except av.FFmpegError as error:
            raise InputError(f"{clip}: cannot be looped ({error})") from error
        finally:
            os.close(handle)


def _nameless(folder: str) -> int:
    """An open file without a name; the caller closes it."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:
        # The file system has none: in memory instead.
        return os.memfd_create("stream-anon-bench")


def _loop(clip: Path, long: Path, frames: int) -> int:
    count, loops, offset = 0, 0, 0
    with av.open(str(long), "w") as out:
        stream: Any = None
        while count < frames:
            with av.open(str(clip)) as container:
                video = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                base = video.time_base or Fraction(1, 1000)
                step = 1 / (base * (video.average_rate or 25))
                end = offset
                for number, packet in enumerate(container.demux(video)):
                    if not packet.size:
                        continue
                    if packet.pts is None:
                        packet.pts = packet.dts = round(number * step)
                    packet.pts += offset
                    packet.dts = None if packet.dts is None else packet.dts + offset
                    end = max(end, packet.pts + round(step))
                    packet.stream = stream
                    out.mux(packet)
                    count += 1
            offset, loops = end, loops + 1
            if loops == 1 and not count:
                raise InputError(f"{clip}: holds no frames")
    return loops


def bare(clip: Path, codec: str, config: Config) -> Timing:
    """Decode and encode at the settings of ``redact``, and throw the bytes away."""
    frames = 0
    clock = _Clock()
    with av.open(str(clip)) as source, av.open("/dev/null", "w", format="null") as sink:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        encoder: Any = sink.add_stream(
            ENCODERS[codec].name, rate=video.average_rate, options=_options(codec, config)
        )
        encoder.width, encoder.height = video.width, video.height
        encoder.pix_fmt = video.pix_fmt
        encoder.codec_context.thread_type = "AUTO"
        encoder.codec_context.time_base = video.time_base
        for frame in source.decode(video):
            frame.pict_type = 0
            sink.mux(encoder.encode(frame))
            frames += 1
        sink.mux(encoder.encode())
    return clock.timing(frames)


def _redact(clip: Path, target: Path, config: Config, result: SpeedComparison) -> Timing:
    clock = _Clock()
    # Without the check of the result, whose few frames weigh most in the shortest clip.
    config = override(config, **{"verify.mode": "off"})
    running = recipes.pipeline("redact").build(make_plan(clip, target, config))
    report = running.run()
    timing = clock.timing(report.frames_out)
    result.stages = dict(report.time.wall)
    result.detections_run = report.frames.detections_run / max(report.frames_in, 1)
    result.faces = sum(t.frames for t in report.tracks) / max(report.frames_out, 1)
    return timing


def _options(codec: str, config: Config) -> dict[str, str]:
    return settings(codec, config.video.crf, config.video.encoder_preset)


class _Clock:
    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def timing(self, frames: int) -> Timing:
        return Timing(
            frames,
            time.perf_counter() - self._wall,
            time.process_time() - self._processor,
        )
