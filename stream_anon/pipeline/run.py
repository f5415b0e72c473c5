"""A pipeline: a source, a lane for each video stream, the gate, a sink.

    reader            analyst                       painter
    source --queue--> lane: detect, track --queue--> gate --> sink

Each of the three has a thread; decoder, networks and encoder bring more of their own and
release the interpreter while they work. What is copied (sound, subtitles) travels the same
way, so that it reaches the muxer near the pictures it belongs to.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_anon.errors import GateError
from stream_anon.faces.detector import Detector
from stream_anon.faces.tracker import Tracker
from stream_anon.pipeline.flow import Channel, Flow, Worker
from stream_anon.pipeline.gate import Compositor
from stream_anon.pipeline.lane import Judged, Lane
from stream_anon.pipeline.manifest import Outcome, manifest
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import Report, TrackPart
from stream_anon.pipeline.second_look import SecondLook
from stream_anon.video.picture import Picture
from stream_anon.video.sink import Sink
from stream_anon.video.source import Copied, Source

log = logging.getLogger(__name__)

QUEUE = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        frames: pictures written.
        total: pictures expected over all streams, None when nobody knows.
        faces: faces painted.
        seconds: media time reached.
    """

    frames: int
    total: int | None
    faces: int
    seconds: float


class _Span:
    """A track as it is counted: plain, since every face of every picture comes by here.

    Args:
        stream: of the track.
        here: time stamp and seconds of its first picture.
    """

    __slots__ = ("first", "last", "pictures", "stream")

    def __init__(self, stream: int, here: tuple[int, float]) -> None:
        self.stream, self.pictures = stream, 0
        self.first = self.last = here


class Pipeline:
    """Runs one input through the gate into one output.

    Args:
        plan: what is to be done.
        source: pictures and packets in demux order.
        detector: finds faces; used by one thread only.
        compositor: the gate.
        sink: takes cleared pictures only.
    """

    def __init__(
        self,
        plan: Plan,
        source: Source,
        detector: Detector,
        compositor: Compositor,
        sink: Sink,
    ) -> None:
        self._plan = plan
        self._source = source
        self._detector = detector
        self._compositor = compositor
        self._sink = sink
        self._config = plan.request.config
        self._lanes: dict[int, Lane] = {}
        self._numbers = itertools.count(1)
        self._outcome = Outcome()
        self._spans: dict[int, _Span] = {}
        self._faces = 0
        self._seconds = 0.0
        self._written: dict[int, int] = {}
        self._closed: Path | None = None

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
        if warning := self._compositor.method.warning():
            log.warning("%s", warning)
        began = time.monotonic()
        try:
            second = SecondLook(self._plan, self._detector.name)
        except BaseException:
            self._sink.abort()
            self._source.close()
            raise
        flow = Flow(self._config.fault.stall_seconds, cancel)
        decoded: Channel[Picture | Copied] = flow.channel(QUEUE)
        judged: Channel[Judged | Copied] = flow.channel(QUEUE)
        flow.worker("reader", lambda worker: self._read(worker, decoded))
        flow.worker("analyst", lambda worker: self._analyse(worker, decoded, judged))
        flow.worker("painter", lambda worker: self._clear(worker, judged))

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
            self._compositor.method.close()
        tick()
        self._finish()
        try:
            sound = not (self._source.lost or self._source.repaired)
            took = time.monotonic() - began
            look = second.judge(self._sink, self._closed, self._written, sound, took, cancel)
        except BaseException:
            self._sink.abort()
            raise
        report = manifest(
            self._plan,
            self._outcome,
            self._compositor.method,
            self._detector.name,
            look.part,
            look.output,
        )
        if look.error is not None:
            look.error.report = report
            raise look.error
        return report

    def _progress(self) -> Progress:
        return Progress(
            self._outcome.pictures.output, self._source.info.pictures, self._faces, self._seconds
        )

    def _read(self, worker: Worker, decoded: Channel[Picture | Copied]) -> None:
        items = iter(self._source)
        clock = self._outcome.clock
        while True:
            with worker.busy("decode", clock):
                item = next(items, None)
            if item is None:
                break
            decoded.put(item)
        decoded.close()

    def _analyse(
        self,
        worker: Worker,
        decoded: Channel[Picture | Copied],
        judged: Channel[Judged | Copied],
    ) -> None:
        clock = self._outcome.clock
        for item in decoded:
            if isinstance(item, Copied):
                judged.put(item)
                continue
            self._outcome.pictures.input += 1
            lane = self._lane(item)
            with worker.busy("detect and track", clock):
                ready = list(lane.push(item))
            for one in ready:
                judged.put(one)
        for lane in self._lanes.values():
            with worker.busy("detect and track", clock):
                ready = list(lane.flush())
            for one in ready:
                judged.put(one)
        judged.close()

    def _lane(self, picture: Picture) -> Lane:
        lane = self._lanes.get(picture.stream)
        if lane is None:
            video = self._source.info.streams[picture.stream].video
            turns = round(video.rotation / 90) % 4 if video is not None else 0
            tracker = Tracker(
                self._config.tracker,
                picture.width,
                picture.height,
                self._source.info.rate(picture.stream),
                self._numbers,
                self._config.detector.threshold,
                turns,
                self._config.detector.smallest_face,
            )
            lane = Lane(self._detector, tracker, self._config, turns)
            self._lanes[picture.stream] = lane
        return lane

    def _clear(self, worker: Worker, judged: Channel[Judged | Copied]) -> None:
        clock = self._outcome.clock
        for item in judged:
            if isinstance(item, Copied):
                with worker.busy("mux", clock):
                    self._sink.copy(item)
                self._outcome.copied[item.stream] = self._outcome.copied.get(item.stream, 0) + 1
                continue
            with worker.busy("paint", clock):
                cleared = self._compositor.clear(item.picture, item.faces, item.doubt)
                self._compositor.end(item.ended)
            with worker.busy("encode", clock):
                self._sink.write(cleared)
            self._count(item, cleared.rung > 0)
        pictures = self._outcome.pictures
        if pictures.input != pictures.output:
            raise GateError(f"{pictures.input} pictures were read, {pictures.output} written")
        with worker.busy("finish", clock):
            self._closed = self._sink.close()

    def _count(self, item: Judged, stepped_down: bool) -> None:
        picture, pictures = item.picture, self._outcome.pictures
        pictures.output += 1
        self._written[picture.stream] = self._written.get(picture.stream, 0) + 1
        pictures.covered += bool(item.faces) or stepped_down
        self._faces += len(item.faces)
        here = picture.pts, picture.seconds
        self._seconds = picture.seconds
        for face in item.faces:
            span = self._spans.get(face.track)
            if span is None:
                span = self._spans[face.track] = _Span(picture.stream, here)
            span.last = here
            span.pictures += 1

    def _finish(self) -> None:
        outcome, steps = self._outcome, self._compositor.steps
        for number, span in self._spans.items():
            outcome.tracks[number] = TrackPart(
                track=number,
                stream=span.stream,
                first_pts=span.first[0],
                last_pts=span.last[0],
                first_seconds=span.first[1],
                last_seconds=span.last[1],
                pictures=span.pictures,
            )
        for lane in self._lanes.values():
            outcome.pictures.looked_at += lane.looked_at
            outcome.pictures.looked_at_parts += lane.looked_at_parts
            outcome.notes += lane.notes
        outcome.pictures.stepped_down = {r.name.lower(): n for r, n in steps.pictures.items()}
        outcome.pictures.faces_stepped_down = steps.faces
        outcome.pictures.reasons = dict(steps.reasons)
        if self._source.lost:
            outcome.notes.append(f"{self._source.lost} packets of the input could not be decoded")
        if self._source.repaired:
            outcome.notes.append(f"{self._source.repaired} pictures had no time of their own")
