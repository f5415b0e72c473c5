"""Analyzers: frames in, the same frames with what is in them out.

There are two. ``DetectAndTrack`` looks at the frames; ``ReadTracks`` does not, and says what a
Tracks file says of them. Painting cannot tell which one it was.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from stream_anon.config import Config
from stream_anon.detection.base import Detector
from stream_anon.detection.heads import NAME as BODY_POSE
from stream_anon.detection.registry import make_detector
from stream_anon.detection.types import TrackedFace
from stream_anon.errors import TrackerFault, TracksError
from stream_anon.media.frame import Frame
from stream_anon.media.packets import Gap
from stream_anon.models import registry
from stream_anon.models.backend import OPENVINO, Backend, backend_of
from stream_anon.pipeline.drawn import WithRegions
from stream_anon.pipeline.labels import OtherLabels, Sources
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import AnalysisPart
from stream_anon.pipeline.stream_analyzer import AnalyzedFrame, StreamAnalyzer
from stream_anon.regions import FACE, REGION, Region, Regions
from stream_anon.tracking.tracker import Tracker
from stream_anon.tracks.origin import Fingerprint
from stream_anon.tracks.reader import TracksFile

MOST_NOTES = 100
"""Different remarks of the analyzers of one run that are kept; a run may take months."""


@dataclass(frozen=True, slots=True, eq=False)
class Analyzed:
    """A frame and what is known of it."""

    frame: Frame
    regions: Regions


class Analyzer(Protocol):
    """Gives every frame back once, in the order of its stream, with what is in it.

    Attributes:
        name: of the detector, for the report.
        networks: names in the model registry of the networks that look, for the report.
        detections_run: frames that a detector saw whole so far.
        partial_detections_run: likewise in part.
        notes: what the report should say.
        methods: names of methods that single regions ask for.
        origin: the Tracks file that is read, for the report; or None.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def networks(self) -> tuple[str, ...]:
        """See above."""

    @property
    def detections_run(self) -> int:
        """See above."""

    @property
    def partial_detections_run(self) -> int:
        """See above."""

    @property
    def notes(self) -> list[str]:
        """See above."""

    @property
    def methods(self) -> tuple[str, ...]:
        """See above."""

    @property
    def origin(self) -> AnalysisPart | None:
        """See above."""

    def push(self, item: Frame | Gap) -> Iterator[Analyzed]:
        """Take the next frame, and yield those that are decided.

        At a gap all that waits of its stream is decided, and every track of the stream ends:
        the frame that comes next is as after a cut, and may have another size.

        Raises:
            Fault: a part failed and the policy is to stop.
        """

    def flush(self) -> Iterator[Analyzed]:
        """Yield what is left at the end of the streams."""

    def close(self) -> None:
        """Let go of what it holds; safe to call twice."""


class DetectAndTrack:
    """Looks at the frames of all streams.

    Args:
        detector: finds faces; used by one thread only.
        config: of tracker, detector and fault policy.
        backend: runs the networks that find what else is a target.
    """

    methods: tuple[str, ...] = ()
    origin = None

    def __init__(
        self, detector: Detector, config: Config, backend: Backend = OPENVINO
    ) -> None:
        self._detector = detector
        self._config = config
        self._whole = self._in_part = 0
        self._notes: dict[str, None] = {}
        self._analyzers: dict[int, StreamAnalyzer] = {}
        # Faces alone, the default, need nothing beside the tracker.
        alone = set(config.targets) <= {FACE, REGION} and FACE in config.targets
        self._sources = None if alone else Sources.of(config, backend)
        self._track_ids = itertools.count(1)
        self._interval: float | None = None

    def pace(self, interval: float) -> None:
        """Look less often, or as often as before, in all streams: there is too much to do.

        Args:
            interval: seconds, as ``tracker.interval``; never longer than frames wait.

        Raises:
            ValueError: it is not positive.
        """
        self._interval = interval
        for analyzer in self._analyzers.values():
            analyzer.pace(interval)

    @property
    def name(self) -> str:
        """The detector's."""
        return self._detector.name

    @property
    def networks(self) -> tuple[str, ...]:
        """The detector's, if it is one of ours, and that of bodies."""
        own = (self.name,) if self.name in registry.names() else ()
        bodies = self._sources is not None and self._sources.bodies is not None
        return (*own, BODY_POSE) if bodies else own

    @property
    def detections_run(self) -> int:
        """Frames that the detector saw whole."""
        return self._whole + sum(one.detections_run for one in self._analyzers.values())

    @property
    def partial_detections_run(self) -> int:
        """Frames of which the detector saw parts."""
        return self._in_part + sum(
            one.partial_detections_run for one in self._analyzers.values()
        )

    @property
    def notes(self) -> list[str]:
        """What the analyzers had to put up with."""
        notes = [note for analyzer in self._analyzers.values() for note in analyzer.notes]
        if self._sources is not None and self._sources.note is not None:
            notes.append(self._sources.note)
        return list(dict.fromkeys([*self._notes, *notes]))

    def push(self, item: Frame | Gap) -> Iterator[Analyzed]:
        """See ``Analyzer.push``."""
        if isinstance(item, Frame):
            yield from map(self._plain, self._analyzer(item).push(item))
            return
        analyzer = self._analyzers.pop(item.stream, None)
        if analyzer is not None:
            yield from map(self._plain, analyzer.flush())
            self._whole += analyzer.detections_run
            self._in_part += analyzer.partial_detections_run
            for note in analyzer.notes[: MOST_NOTES - len(self._notes)]:
                self._notes[note] = None

    def flush(self) -> Iterator[Analyzed]:
        """See ``Analyzer.flush``."""
        for analyzer in self._analyzers.values():
            yield from map(self._plain, analyzer.flush())

    def close(self) -> None:
        """Nothing is held beyond the run."""

    def _plain(self, analyzed: AnalyzedFrame) -> Analyzed:
        """What an analyzer decided, as plain data.

        Raises:
            TrackerFault: it is no place, and the policy is to stop.
        """
        key = analyzed.frame.key
        unknown = (
            None
            if analyzed.analysis_error is None
            else str(analyzed.analysis_error) or "its analysis failed"
        )
        items = []
        for face in analyzed.faces:
            try:
                items.append(_region(face))
            except (ValueError, TypeError) as error:
                wrong = f"the tracker answered with what is no place: {error}"
                if self._config.fault.policy == "stop":
                    raise TrackerFault(wrong) from error
                unknown = unknown or wrong
        items += analyzed.others
        ended = analyzed.ended
        try:
            regions = Regions(key, tuple(items), ended, unknown)
        except ValueError as error:
            raise TrackerFault(f"the tracker answered with nonsense: {error}") from error
        return Analyzed(analyzed.frame, regions)

    def _analyzer(self, frame: Frame) -> StreamAnalyzer:
        analyzer = self._analyzers.get(frame.stream)
        if analyzer is None:
            tracker = Tracker(
                self._config.tracker,
                frame.width,
                frame.height,
                float(frame.rate),
                self._track_ids,
                self._config.detector.threshold,
                frame.quarter_turns,
                self._config.detector.smallest_face,
            )
            others = None
            if self._sources is not None:
                others = OtherLabels(
                    self._config,
                    self._sources,
                    (frame.width, frame.height),
                    float(frame.rate),
                    self._track_ids,
                    frame.quarter_turns,
                )
            analyzer = StreamAnalyzer(self._detector, tracker, self._config, others)
            if self._interval is not None:
                analyzer.pace(self._interval)
            self._analyzers[frame.stream] = analyzer
        return analyzer


class ReadTracks:
    """Says of each frame what a Tracks file says; of a frame without a line, that nobody knows.

    Args:
        tracks: the file; closed with this.
        fingerprint: of the input, which must be the one that was analysed.

    Raises:
        TracksError: it is another one, or edits contradict each other.
    """

    detections_run = partial_detections_run = 0
    networks: tuple[str, ...] = ()
    """What a Tracks file was made with is said there."""

    def __init__(self, tracks: TracksFile, fingerprint: Fingerprint) -> None:
        if tracks.header.input.sha256 != fingerprint.sha256:
            raise TracksError(
                f"{tracks.path}: was made from another file than {fingerprint.path}: "
                f"its SHA-256 is {fingerprint.sha256[:12]}..., "
                f"that of what was analysed {tracks.header.input.sha256[:12]}..."
            )
        tracks.prepare()
        self._tracks = tracks
        self._fingerprint = fingerprint

    @property
    def name(self) -> str:
        """The detector that made the file."""
        return self._tracks.header.detector

    @property
    def notes(self) -> list[str]:
        """What it has to say is said by the file."""
        return []

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that edits ask for."""
        return self._tracks.methods()

    @property
    def origin(self) -> AnalysisPart:
        """The file, by its hash."""
        header = self._tracks.header
        return AnalysisPart(
            tracks_sha256=self._tracks.sha256,
            tool_version=header.tool.version,
            created=header.created,
            edits=dict(Counter(edit.change.verb for edit in self._tracks.active)),
        )

    def push(self, item: Frame | Gap) -> Iterator[Analyzed]:
        """See ``Analyzer.push``; a frame is never held back.

        Raises:
            TracksError: the file was changed since it was opened.
        """
        if isinstance(item, Gap):
            return
        frame, key = item, item.key
        regions = self._tracks.frame(key.stream, key.index)
        line = self._tracks.stream(key.stream)
        wrong = None
        if regions is None or line is None:
            wrong = "the Tracks file has no line for it"
        elif regions.key != key:
            wrong = "the Tracks file has another time for it"
        elif (line.width, line.height) != (frame.width, frame.height):
            wrong = "the Tracks file has another size for it"
        if wrong is not None or regions is None:
            regions = Regions(key, (), (), wrong)
        yield Analyzed(frame, regions)

    def flush(self) -> Iterator[Analyzed]:
        """Nothing is left.

        Raises:
            InputError: the input is not the file any more whose hash was compared.
        """
        self._fingerprint.check()
        return iter(())

    def close(self) -> None:
        """Close the file."""
        self._tracks.close()


def make_analyzer(plan: Plan) -> Analyzer:
    """The analyzer that a plan asks for.

    Raises:
        ModelError: a detector's weights are missing.
        TracksError: something is wrong with the Tracks file, or it is of another input.
    """
    request = plan.request
    if request.config.regions:
        analyzer = _make_analyzer(plan)
        try:
            return WithRegions(analyzer, request.config.regions, plan.info)
        except BaseException:
            # Raised again: what the analyzer holds is let go first.
            analyzer.close()
            raise
    return _make_analyzer(plan)


def _make_analyzer(plan: Plan) -> Analyzer:
    request = plan.request
    if request.tracks is None:
        config = request.config
        backend = backend_of(plan.device)
        detector = make_detector(config.detector, config.models_dir, backend.device)
        return DetectAndTrack(detector, config, backend)
    tracks = TracksFile(request.tracks)
    try:
        return ReadTracks(tracks, Fingerprint.of(request.input))
    except BaseException:
        # Raised again: the file is closed first.
        tracks.close()
        raise


def _region(face: TrackedFace) -> Region:
    points = face.landmarks
    x0, y0, x1, y1 = map(float, face.box)
    return Region(
        str(face.track),
        FACE,
        (x0, y0, x1, y1),
        None if points is None else tuple((float(x), float(y)) for x, y in points),
        float(face.score),
        face.origin,
    )
