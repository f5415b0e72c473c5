"""A pipeline: a source, an analyzer, the gate, a sink.

    reader            analyst                                  painter
    source --queue--> analyzer: detect, track --regions--queue--> gate --> sink

Each of the three has a thread; decoder, networks and encoder bring more of their own and
release the interpreter while they work. What is copied (sound, subtitles) travels the same
way, so that it reaches the muxer near the frames it belongs to.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stream_anon.config import unusual
from stream_anon.detection.base import Detector
from stream_anon.errors import GateError
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.frame import Frame
from stream_anon.media.input.source import PassthroughPacket, Source
from stream_anon.media.output.sink import Sink
from stream_anon.pipeline.analysis import Analyzed, Analyzer, DetectAndTrack, quarter_turns
from stream_anon.pipeline.flow import Channel, Flow, Worker
from stream_anon.pipeline.manifest import Outcome, manifest
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import KeptPart, Report, TrackPart
from stream_anon.pipeline.second_look import SecondLook, Written
from stream_anon.regions import Region

log = logging.getLogger(__name__)

QUEUE = 4

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        frames: frames written.
        total: frames expected over all streams, None when nobody knows.
        faces: faces painted.
        seconds: media time reached.
    """

    frames: int
    total: int | None
    faces: int
    seconds: float


class _Span:
    """A track as it is counted: plain, since every face of every frame comes by here.

    Args:
        stream: of the track.
        label: likewise.
        here: time stamp and seconds of its first frame.
    """

    __slots__ = ("first", "frames", "label", "last", "stream")

    def __init__(self, stream: int, label: str, here: tuple[int, float]) -> None:
        self.stream, self.label, self.frames = stream, label, 0
        self.first = self.last = here

    def see(self, here: tuple[int, float]) -> None:
        """One frame more."""
        self.last = here
        self.frames += 1


class Pipeline:
    """Runs one input through the gate into one output.

    Args:
        plan: what is to be done.
        source: frames and packets in demux order.
        analyzer: says what is in the frames; used by one thread only. A detector is given a
            tracker of its own for each stream.
        compositor: the gate.
        sink: takes cleared frames only.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        analyzer: Analyzer | Detector,
        compositor: Compositor,
        sink: Sink,
    ) -> None:
        self._plan = plan
        self._source = source
        self._config = plan.request.config
        if isinstance(analyzer, Detector):
            analyzer = DetectAndTrack(analyzer, source.info, self._config)
        self._analyzer: Analyzer = analyzer
        self._compositor = compositor
        self._sink = sink
        self._outcome = Outcome()
        self._spans: dict[int, _Span] = {}
        self._kept: dict[tuple[str, str], _Span] = {}
        self._faces = 0
        self._seconds = 0.0
        self._written = Written()

    def run(
        self,
        progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Report:
        """Do everything, or nothing: an error leaves no file under the target's name.

        Returns:
            The manifest of the run.

        Raises:
            StreamAnonError: as the parts raise it.
            VerificationError: the result did not pass the second look; its ``report`` tells more.
            KeyboardInterrupt: from the calling thread; everything is stopped first.
        """
        for method in self._compositor.methods:
            if warning := method.warning():
                log.warning("%s", warning)
        began = time.monotonic()
        try:
            second = SecondLook(self._plan, self._analyzer.name)
        except BaseException:
            self._sink.abort()
            self._source.close()
            self._compositor.close()
            self._analyzer.close()
            raise
        flow = Flow(self._config.fault.stall_seconds, cancel)
        decoded: Channel[Frame | PassthroughPacket] = flow.channel(QUEUE)
        analyzed: Channel[Analyzed | PassthroughPacket] = flow.channel(QUEUE)
        flow.worker("reader", lambda worker: self._read(worker, decoded))
        flow.worker("analyst", lambda worker: self._analyse(worker, decoded, analyzed))
        flow.worker("painter", lambda worker: self._clear(worker, analyzed))

        def tick() -> None:
            if progress is not None:
                progress(self._progress())

        try:
            flow.run(tick)
        except BaseException:
            self._sink.abort(hard="stream-anon-painter" in flow.stuck)
            raise
        finally:
            if "stream-anon-reader" not in flow.stuck:
                self._source.close()
            self._compositor.close()
            if "stream-anon-analyst" not in flow.stuck:
                self._analyzer.close()
        tick()
        self._finish()
        try:
            self._written.seconds = time.monotonic() - began
            self._written.sound = not (
                self._source.lost or self._source.repaired or self._source.spliced
            )
            look = second.judge(self._sink, self._written, cancel)
            self._outcome.output = self._sink.digest()
        except BaseException:
            self._sink.abort()
            raise
        report = manifest(
            self._plan,
            self._outcome,
            self._compositor.methods,
            self._analyzer.name,
            self._analyzer.origin,
            look.part,
            look.output,
        )
        if look.error is not None:
            look.error.report = report
            raise look.error
        return report

    def _progress(self) -> Progress:
        return Progress(
            self._outcome.frames.output, self._source.info.frames, self._faces, self._seconds
        )

    def _read(self, worker: Worker, decoded: Channel[Frame | PassthroughPacket]) -> None:
        self._source.start_digest()
        items = iter(self._source)
        clock = self._outcome.clock
        while True:
            with worker.busy("decode", clock):
                item = next(items, None)
            if item is None:
                break
            decoded.put(item)
        # An input that has changed meanwhile ends the run here, before the output has its name.
        self._outcome.input = self._source.digest()
        decoded.close()

    def _analyse(
        self,
        worker: Worker,
        decoded: Channel[Frame | PassthroughPacket],
        analyzed: Channel[Analyzed | PassthroughPacket],
    ) -> None:
        clock = self._outcome.clock
        for item in decoded:
            if isinstance(item, PassthroughPacket):
                analyzed.put(item)
                continue
            self._outcome.frames.input += 1
            with worker.busy("detect and track", clock):
                ready = list(self._analyzer.push(item))
            for one in ready:
                analyzed.put(one)
        with worker.busy("detect and track", clock):
            ready = list(self._analyzer.flush())
        for one in ready:
            analyzed.put(one)
        analyzed.close()

    def _clear(self, worker: Worker, analyzed: Channel[Analyzed | PassthroughPacket]) -> None:
        clock = self._outcome.clock
        for item in analyzed:
            if isinstance(item, PassthroughPacket):
                with worker.busy("mux", clock):
                    self._sink.copy(item)
                self._outcome.copied[item.stream] = self._outcome.copied.get(item.stream, 0) + 1
                continue
            with worker.busy("paint", clock):
                upright_turns = quarter_turns(self._source.info, item.frame.stream)
                cleared = self._compositor.paint(item.frame, item.regions, upright_turns)
                self._compositor.end([int(track) for track in item.regions.ended])
            level = cleared.level
            with worker.busy("encode", clock):
                self._sink.write(cleared)
            self._count(item, level)
        frames = self._outcome.frames
        if frames.input != frames.output:
            raise GateError(f"{frames.input} frames were read, {frames.output} written")
        # Unwatched: a disk may take minutes for what is finished and must not be lost.
        with worker.busy("finish", clock, watched=False):
            self._written.path = self._sink.close()

    def _count(self, item: Analyzed, level: FallbackLevel) -> None:
        frame, frames = item.frame, self._outcome.frames
        painted = [region for region in item.regions.items if region.kept is None]
        frames.output += 1
        frames.with_faces += bool(painted) or level > 0
        self._faces += len(painted)
        here = frame.pts, frame.seconds
        self._seconds = frame.seconds
        for region in painted:
            self._span(self._spans, int(region.track), region, item).see(here)
        shown = [region for region in item.regions.items if region.kept is not None]
        shown = shown if level < FallbackLevel.PIXELATED else []
        for region in shown:
            self._span(self._kept, (region.track, region.kept or ""), region, item).see(here)
        self._written.count(frame.stream, [region.box for region in shown])

    @staticmethod
    def _span(spans: dict[K, _Span], key: K, region: Region, item: Analyzed) -> _Span:
        span = spans.get(key)
        if span is None:
            here = item.frame.pts, item.frame.seconds
            span = spans[key] = _Span(item.frame.stream, region.label, here)
        return span

    def _finish(self) -> None:
        outcome, fallbacks = self._outcome, self._compositor.fallbacks
        for number, span in self._spans.items():
            outcome.tracks[number] = TrackPart(
                track=number,
                stream=span.stream,
                label=span.label,
                first_pts=span.first[0],
                last_pts=span.last[0],
                first_seconds=span.first[1],
                last_seconds=span.last[1],
                frames=span.frames,
            )
        outcome.kept = [
            KeptPart(
                track=int(track),
                stream=span.stream,
                reason=reason,
                first_seconds=span.first[1],
                last_seconds=span.last[1],
                frames=span.frames,
            )
            for (track, reason), span in self._kept.items()
        ]
        outcome.frames.detections_run = self._analyzer.detections_run
        outcome.frames.partial_detections_run = self._analyzer.partial_detections_run
        outcome.notes += self._analyzer.notes
        outcome.frames.stepped_down = {r.name.lower(): n for r, n in fallbacks.frames.items()}
        outcome.frames.faces_stepped_down = fallbacks.faces
        outcome.frames.reasons = dict(fallbacks.reasons)
        outcome.labels, outcome.networks = fallbacks.labels, self._analyzer.networks
        if not self._spans and (settings := unusual(self._config)):
            words = f"no face was found at settings other than the default: {', '.join(settings)}"
            log.warning("%s", words)
            outcome.notes.append(words)
        if self._source.lost:
            outcome.notes.append(f"{self._source.lost} packets of the input could not be decoded")
        if self._source.repaired:
            outcome.notes.append(f"{self._source.repaired} frames had no time of their own")
        if self._source.spliced:
            outcome.notes.append(
                f"the input's clock runs back in {self._source.spliced} places; "
                "what follows comes after what was before"
            )
        outcome.notes += self._sink.notes
