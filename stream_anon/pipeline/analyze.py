"""Analysis without painting: a video in, a Tracks file out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from stream_anon.config import Config
from stream_anon.detection.registry import make_detector
from stream_anon.errors import GateError, InputError, OutputError, UsageError
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.files import open_file
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.probe import check_regular
from stream_anon.models import registry
from stream_anon.pipeline.analysis import Analyzed, Analyzer, DetectAndTrack
from stream_anon.pipeline.flow import Channel, Clock, Flow, Worker
from stream_anon.pipeline.run import QUEUE, Progress
from stream_anon.tracks.lines import Header, Input, StreamLine
from stream_anon.tracks.origin import Fingerprint
from stream_anon.tracks.writer import TracksWriter

_DEGREES: tuple[Literal[0, 90, 180, 270], ...] = (0, 90, 180, 270)
"""By quarter turns."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found.

    Attributes:
        path: of the Tracks file.
        frames: over all streams.
        regions: over all frames.
        tracks: how many.
        unknown: frames of which it is not known what is in them.
        detections_run: frames that the detector saw.
    """

    path: Path
    frames: int
    regions: int
    tracks: int
    unknown: int
    detections_run: int

    def summary(self) -> str:
        """One line for a person."""
        text = f"{self.frames} frames, {self.tracks} tracks"
        if self.unknown:
            text += f"; {self.unknown} frames could not be analysed and will be covered whole"
        return text


def analyze_file(
    input: str | Path,
    output: str | Path,
    config: Config,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    analyzer_of: Callable[[Config], Analyzer] | None = None,
) -> Analysis:
    """Analyse one video; see ``stream_anon.analyze``.

    Args:
        input, output, config, overwrite, progress, cancel: as there.
        analyzer_of: makes the analyzer in the place of detector and tracker.
    """
    source, target = Path(input), Path(output)
    if not source.exists():
        raise InputError(f"{source}: there is no such file")
    check_regular(source)
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the input; inputs are never written to")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: there is no folder {target.parent}")
    fingerprint = Fingerprint.of(source)
    video = config.video
    frames = open_file(
        source,
        start=video.start,
        end=video.end,
        copied=(),
        tolerant=config.fault.policy == "step-down",
    )
    with frames:
        analyzer = (analyzer_of or _detect_and_track)(config)
        writer = TracksWriter(target, _header(fingerprint, frames.info, config), overwrite)
        run = _Run(frames, analyzer, writer, config)
        try:
            run.run(progress, cancel)
            fingerprint.check()
            writer.finish()
        except BaseException:
            # Raised again: the unfinished Tracks file goes first.
            writer.abort()
            raise
        finally:
            analyzer.close()
    return Analysis(
        target, run.frames, run.regions, len(run.tracks), run.unknown, analyzer.detections_run
    )


class _Run:
    """Reader and analyst, each with a thread of its own."""

    def __init__(
        self, source: Source, analyzer: Analyzer, writer: TracksWriter, config: Config
    ) -> None:
        self._source, self._analyzer, self._writer = source, analyzer, writer
        self._config = config
        self._clock = Clock()
        self._read = 0
        self._seconds = 0.0
        self.frames = self.regions = self.unknown = 0
        self.tracks: set[str] = set()

    def run(
        self, progress: Callable[[Progress], None] | None, cancel: threading.Event | None
    ) -> None:
        flow = Flow(self._config.fault.stall_seconds, cancel)
        decoded: Channel[Frame] = flow.channel(QUEUE)
        flow.worker("reader", lambda worker: self._decode(worker, decoded))
        flow.worker("analyst", lambda worker: self._analyse(worker, decoded))

        def tick() -> None:
            if progress is not None:
                total = self._source.info.frames
                progress(Progress(self.frames, total, self.regions, self._seconds))

        flow.run(tick)
        tick()
        if self._read != self.frames:
            raise GateError(f"{self._read} frames were read, {self.frames} analysed")

    def _decode(self, worker: Worker, decoded: Channel[Frame]) -> None:
        items = self._source.frames()
        while True:
            with worker.busy("decode", self._clock):
                frame = next(items, None)
            if frame is None:
                break
            decoded.put(frame)
        decoded.close()

    def _analyse(self, worker: Worker, decoded: Channel[Frame]) -> None:
        for frame in decoded:
            self._read += 1
            with worker.busy("detect and track", self._clock):
                for one in self._analyzer.push(frame):
                    self._note(one)
        with worker.busy("detect and track", self._clock):
            for one in self._analyzer.flush():
                self._note(one)

    def _note(self, one: Analyzed) -> None:
        self._writer.write(one.regions)
        self.frames += 1
        self.regions += len(one.regions.items)
        self.unknown += one.regions.unknown is not None
        self.tracks.update(item.track for item in one.regions.items)
        self._seconds = one.frame.seconds


def _detect_and_track(config: Config) -> Analyzer:
    return DetectAndTrack(make_detector(config.detector, config.models_dir), config)


def _header(fingerprint: Fingerprint, info: MediaInfo, config: Config) -> Header:
    detector = config.detector.name
    known = detector in registry.names()
    settings: Mapping[str, Any] = config.model_dump(mode="json", include={"detector", "tracker"})
    return Header(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        input=Input(
            name=fingerprint.path.name, bytes=fingerprint.bytes, sha256=fingerprint.sha256
        ),
        start=config.video.start,
        end=config.video.end,
        streams=tuple(
            StreamLine(
                stream=str(stream.index),
                width=stream.video.width,
                height=stream.video.height,
                rotation=_DEGREES[stream.video.quarter_turns],
                time_base=f"{stream.time_base.numerator}/{stream.time_base.denominator}",
            )
            for stream in info.video
            if stream.video is not None
        ),
        detector=detector,
        detector_sha256=registry.describe(detector).sha256 if known else None,
        settings=dict(settings),
    )

