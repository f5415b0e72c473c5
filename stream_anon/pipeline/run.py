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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2

from stream_anon.config import unusual
from stream_anon.detection.base import Detector
from stream_anon.errors import GateError
from stream_anon.media.cleared import Cleared
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.output.sink import Sink
from stream_anon.media.packets import Gap, Packet
from stream_anon.pipeline.analysis import Analyzed, Analyzer, DetectAndTrack
from stream_anon.pipeline.flow import Channel, Flow, Worker
from stream_anon.pipeline.manifest import Outcome, manifest
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import Report
from stream_anon.pipeline.second_look import SecondLook, Written

log = logging.getLogger(__name__)

QUEUE = 4

LIVE_QUEUE = 32
"""Sound comes in more packets than there are frames, and nobody may make its sender wait."""


DRAIN = 4.0
"""How much slower than so far an encoder may give back what it holds."""


Item = Frame | Packet | Gap
Decided = Analyzed | Packet | Gap


def _enough(frames: int) -> Callable[[Decided], bool]:
    """Whether an item is the last of so many frames, or a gap."""
    left = frames

    def last(item: Decided) -> bool:
        nonlocal left
        left -= isinstance(item, Analyzed)
        return left <= 0 or isinstance(item, Gap)

    return last


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
            analyzer = DetectAndTrack(analyzer, self._config)
        self._analyzer: Analyzer = analyzer
        self._compositor = compositor
        self._sink = sink
        self._outcome = Outcome()
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
        # Every stage has a thread already: OpenCV's own would mostly wait for each other. How many
        # it has belongs to the whole process, so whoever called gets back what was set.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return self._run(progress, cancel)
        finally:
            cv2.setNumThreads(threads)

    def _run(
        self, progress: Callable[[Progress], None] | None, cancel: threading.Event | None
    ) -> Report:
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
        # Frames are dropped in one place only, before anybody has looked at them.
        live = self._source.live
        decoded: Channel[Item] = flow.channel(
            LIVE_QUEUE if live else QUEUE,
            "drop-oldest" if live else "block",
            lambda item: isinstance(item, Frame),
        )
        # What a batch is made of waits here, sound between it, while another one is painted.
        batch = self._compositor.batch
        analyzed: Channel[Decided] = flow.channel(QUEUE if batch == 1 else 2 * batch)
        flow.worker("reader", lambda worker: self._read(worker, decoded))
        flow.worker("analyst", lambda worker: self._analyse(worker, decoded, analyzed))
        flow.worker("painter", lambda worker: self._clear(worker, decoded, analyzed))

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
        tally = self._outcome.tally
        return Progress(tally.frames.output, self._source.info.frames, tally.faces, tally.seconds)

    def _read(self, worker: Worker, decoded: Channel[Item]) -> None:
        self._source.start_digest()
        items = iter(self._source)
        clock = self._outcome.clock
        while True:
            with worker.busy("decode", clock):
                item = next(items, None)
            if item is None:
                break
            self._outcome.tally.frames.input += isinstance(item, Frame)
            decoded.put(item)
        # An input that has changed meanwhile ends the run here, before the output has its name.
        self._outcome.input = self._source.digest()
        decoded.close()

    def _analyse(
        self,
        worker: Worker,
        decoded: Channel[Item],
        analyzed: Channel[Decided],
    ) -> None:
        clock = self._outcome.clock
        for item in decoded:
            if isinstance(item, Packet):
                analyzed.put(item)
                continue
            with worker.busy("detect and track", clock):
                ready = list(self._analyzer.push(item))
            for one in ready:
                analyzed.put(one)
            if isinstance(item, Gap):
                analyzed.put(item)
        with worker.busy("detect and track", clock):
            ready = list(self._analyzer.flush())
        for one in ready:
            analyzed.put(one)
        analyzed.close()

    def _clear(
        self, worker: Worker, decoded: Channel[Item], analyzed: Channel[Decided]
    ) -> None:
        clock, tally = self._outcome.clock, self._outcome.tally
        most = self._compositor.batch
        for first in analyzed:
            # What waits with it: frames that are painted together leave in their order all the
            # same, with the packets between them. A gap ends the tracks of those before it.
            items = [first]
            if most > 1 and not isinstance(first, Gap):
                items += analyzed.waiting(LIVE_QUEUE, _enough(most - isinstance(first, Analyzed)))
            with worker.busy("paint", clock):
                cleared = iter(self._painted(items, most))
            for item in items:
                if isinstance(item, Analyzed):
                    self._write(worker, item, next(cleared))
                else:
                    self._pass_on(worker, item)
        frames = tally.frames
        frames.dropped = decoded.dropped
        if frames.input != frames.output + frames.dropped:
            raise GateError(
                f"{frames.input} frames were read, {frames.output} written "
                f"and {frames.dropped} dropped"
            )
        # The encoder gives back in one call what it holds, as fast as it was so far, or it hangs.
        spent = clock.wall.get("encode", 0.0) / max(1, frames.output)
        with worker.busy("drain", clock, allowance=DRAIN * spent * self._sink.held):
            self._sink.drain()
        # Unwatched: a disk may take minutes for what is finished and must not be lost.
        with worker.busy("finish", clock, watched=False):
            self._written.path = self._sink.close()

    def _painted(self, items: Sequence[Decided], most: int) -> list[Cleared]:
        """The frames among them, painted ``most`` at a time."""
        waiting = [item for item in items if isinstance(item, Analyzed)]
        found: list[Cleared] = []
        for start in range(0, len(waiting), most):
            part = waiting[start : start + most]
            if len(part) == 1:
                found.append(self._compositor.paint(part[0].frame, part[0].regions))
            else:
                found += self._compositor.paint_all([(one.frame, one.regions) for one in part])
            self._compositor.end([int(track) for one in part for track in one.regions.ended])
        return found

    def _write(self, worker: Worker, item: Analyzed, cleared: Cleared) -> None:
        clock, tally = self._outcome.clock, self._outcome.tally
        level = cleared.level
        with worker.busy("encode", clock):
            self._sink.write(cleared)
        shown = tally.count(item, level)
        # What is live is not looked at again, and its run may take months.
        boxes = [] if self._source.live else [region.box for region in shown]
        self._written.count(item.frame.stream, boxes)

    def _pass_on(self, worker: Worker, item: Packet | Gap) -> None:
        clock, tally = self._outcome.clock, self._outcome.tally
        if isinstance(item, Packet):
            with worker.busy("mux", clock):
                self._sink.copy(item)
            self._outcome.copied[item.stream] = self._outcome.copied.get(item.stream, 0) + 1
            return
        self._compositor.end(tally.gap(item))
        with worker.busy("mux", clock):
            self._sink.gap(item)

    def _finish(self) -> None:
        outcome, fallbacks = self._outcome, self._compositor.fallbacks
        frames = outcome.tally.frames
        frames.detections_run = self._analyzer.detections_run
        frames.partial_detections_run = self._analyzer.partial_detections_run
        outcome.notes += self._analyzer.notes
        frames.stepped_down = {r.name.lower(): n for r, n in fallbacks.frames.items()}
        frames.faces_stepped_down = fallbacks.faces
        frames.reasons = dict(fallbacks.reasons)
        outcome.decoded = dict(self._source.decoded_by)
        if hidden := sorted(self._source.conceals):
            words = f"stream {', '.join(map(str, hidden))} was decoded by hardware, which conceals"
            outcome.notes.append(f"{words} damage inside slices: less of it is told than by a CPU")
            log.info("%s", outcome.notes[-1])
        outcome.encoded = dict(self._sink.encoded_by)
        outcome.labels, outcome.networks = fallbacks.labels, self._analyzer.networks
        if not len(outcome.tally.painted) and (settings := unusual(self._config)):
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
