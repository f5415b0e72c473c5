"""Sources that break off, change their size or come faster than the work: what the seam promises
to whoever brings a camera."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stream_anon.config import FaultConfig
from stream_anon.detection.base import Detector
from stream_anon.detection.types import Face
from stream_anon.errors import FrameFault, GateError, UsageError
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.probe import probe
from stream_anon.media.output.sink import Sink
from stream_anon.media.packets import Gap, Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import LIVE_QUEUE, Pipeline
from stream_anon.track_state import Part
from tests.attacks.scene import face_at, quick, write_clip
from tests.attacks.scene import frame as scene
from tests.fakes import MemoryFrame


def frames(first: int, count: int, scale: int = 1) -> list[Frame]:
    """The scene, each sample ``scale`` times across and down."""
    return [
        MemoryFrame(scene(index).repeat(scale, 0).repeat(scale, 1), index)
        for index in range(first, first + count)
    ]


class Knows(Detector):
    """Where the face is, at any size of the scene."""

    name = "centerface"

    def __init__(self, slow: threading.Event | None = None) -> None:
        self._slow = slow

    def detect(self, view, quarter_turns=0):
        if self._slow is not None:
            self._slow.wait(30.0)
        face, scale = face_at(view.index), view.width / 320
        return [Face(face.box * scale, face.landmarks * scale, face.score)]


class Fed(Source):
    """Gives what it is given."""

    def __init__(self, info, items, live=True, after=None) -> None:
        self.info, self.live = info, live
        self._items, self._after = items, after

    def __iter__(self):
        yield from self._items
        if self._after is not None:
            self._after.set()

    def select(self, copied):
        pass

    def close(self):
        pass


class Kept(Sink):
    """Keeps what it is given, in memory."""

    def __init__(self) -> None:
        self.items: list[object] = []

    def write(self, cleared):
        self.items.append(cleared.take())

    def copy(self, item):
        self.items.append(item)

    def gap(self, gap):
        self.items.append(gap)

    def finish(self):
        pass

    def abort(self, hard=False):
        self.items.clear()

    @property
    def frames(self):
        return [item for item in self.items if isinstance(item, Frame)]


class Forgets(Fill):
    """Notes which tracks have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.painted: Counter[int] = Counter()
        self.ended: list[int] = []
        self._kept: Part[int] = Part(wipe=self.ended.append)

    def render(self, crops, subjects):
        self.painted.update(subject.track for subject in subjects)
        for subject in subjects:
            self._kept.put(subject.state, subject.track)
        return super().render(crops, subjects)


def run(
    tmp_path, items, *, live=True, detector=None, method=None, config=None, after=None, sink=None
):
    config = config or quick()
    clip = write_clip(tmp_path / "clip.mp4", 3)
    sink = sink or Kept()
    source = Fed(probe(clip), items, live, after)
    compositor = Compositor(method or Fill(), FaultConfig(policy=config.fault.policy))
    plan = make_plan(clip, tmp_path / "out.mp4", config)
    if live:
        plan = replace(plan, info=replace(plan.info, path=None))
    return Pipeline(plan, source, detector or Knows(), compositor, sink).run(), sink


def test_tracks_end_at_a_gap_and_begin_anew_behind_it():
    analyzer = DetectAndTrack(Knows(), quick())
    before = [one for frame in frames(0, 20) for one in analyzer.push(frame)]
    assert len(before) < 20, "some still wait"
    before += analyzer.push(Gap(0, "reconnected"))
    assert [one.frame.index for one in before] == list(range(20))
    after = [one for frame in frames(500, 20) for one in analyzer.push(frame)]
    after += analyzer.flush()
    assert [one.frame.index for one in after] == list(range(500, 520))
    old, new = (
        {item.track for one in part for item in one.regions.items} for part in (before, after)
    )
    assert old
    assert new
    assert not old & new, "nobody is followed across a gap"
    assert old == {track for one in before for track in one.regions.ended}
    assert analyzer.detections_run >= 2


def test_a_gap_before_anything_or_in_another_stream_does_nothing():
    analyzer = DetectAndTrack(Knows(), quick())
    assert list(analyzer.push(Gap(0, "reconnected"))) == []
    out = [one for frame in frames(0, 10) for one in analyzer.push(frame)]
    assert list(analyzer.push(Gap(5, "reconnected"))) == []
    out += analyzer.flush()
    assert len(out) == 10


@pytest.mark.parametrize("policy", ["stop", "step-down"])
def test_a_size_that_changes_without_a_gap_ends_the_run(policy):
    analyzer = DetectAndTrack(Knows(), quick(**{"fault.policy": policy}))
    list(analyzer.push(frames(0, 1)[0]))
    with pytest.raises(FrameFault, match="frame 1 of stream 0 has changed its size"):
        list(analyzer.push(frames(1, 1, 2)[0]))


def test_a_size_may_change_behind_a_gap(tmp_path):
    method = Forgets()
    # As many as can never be dropped, so that what is seen is what was given.
    items = [*frames(0, 12), Gap(0, "size changed"), *frames(12, 12, 2)]
    report, sink = run(tmp_path, items, method=method)
    assert [f.index for f in sink.frames] == list(range(24))
    assert [f.width for f in sink.frames] == [320] * 12 + [640] * 12
    assert report.frames.gaps == {"size changed": 1}
    assert sink.items[12] == Gap(0, "size changed"), "it lies between the frames of both sides"
    assert set(method.painted) == set(method.ended), "nothing is kept for anybody"
    assert len(method.ended) == len(set(method.ended))
    assert len(method.painted) >= 2
    assert "1 gaps" in report.summary()


def test_the_gate_is_told_of_tracks_that_an_analyzer_forgot_to_end(tmp_path):
    class Careless(DetectAndTrack):
        def push(self, item):
            for one in super().push(item):
                yield type(one)(one.frame, replace(one.regions, ended=()))

    method, then = Forgets(), []

    class Looks(Kept):
        def gap(self, gap):
            # Not at the end of the run, when everything is dropped anyway.
            then.extend(method.ended)

    items = [*frames(0, 12), Gap(0, "reconnected"), *frames(12, 3)]
    run(tmp_path, items, method=method, detector=Careless(Knows(), quick()), sink=Looks())
    assert then
    assert 1 in then
    assert set(method.ended) == set(method.painted)


def test_packets_pass_a_gap_in_their_place(tmp_path):
    items = [*frames(0, 5), Packet(1, None), Gap(0, "reconnected"), Packet(1, None), *frames(5, 5)]
    _, sink = run(tmp_path, items)
    kinds = [type(item).__name__ for item in sink.items]
    assert kinds.count("Packet") == 2
    assert kinds.index("Gap") > kinds.index("Packet")


def test_frames_that_come_too_fast_are_dropped_and_counted(tmp_path):
    count, through = 3 * LIVE_QUEUE, threading.Event()
    # The detector stands still until the source has given everything.
    report, sink = run(
        tmp_path, frames(0, count), detector=Knows(through), after=through
    )
    assert report.frames.input == count
    assert report.frames.dropped > 0
    assert report.frames.output == count - report.frames.dropped == len(sink.frames)
    indices = [f.index for f in sink.frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == count - 1, "the latest is kept"
    for frame in sink.frames:
        x, y = (face_at(frame.index).box[:2] + face_at(frame.index).box[2:]) / 2
        patch = frame.rgb[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
        assert patch.std() < 2, "everybody in what is left is painted"
    assert f"{report.frames.dropped} frames dropped to keep up" in report.summary()


def test_a_file_waits_and_nothing_is_dropped(tmp_path):
    report, sink = run(tmp_path, frames(0, 60), live=False)
    assert report.frames.input == report.frames.output == len(sink.frames) == 60
    assert report.frames.dropped == 0


def test_a_frame_that_is_neither_written_nor_dropped_ends_a_live_run(tmp_path):
    class Loses(DetectAndTrack):
        def flush(self):
            yield from (one for one in super().flush() if one.frame.index != 4)

    with pytest.raises(GateError, match="10 frames were read, 9 written and 0 dropped"):
        run(tmp_path, frames(0, 10), detector=Loses(Knows(), quick()))


class Whole(Kept):
    """What it has written could be looked at again."""

    def __init__(self, path) -> None:
        super().__init__()
        self._path, self.published = path, False

    def close(self):
        return self._path

    def publish(self, path=None):
        self.published = True


def test_what_cannot_be_read_twice_is_not_verified_and_the_report_says_so(tmp_path):
    sink = Whole(tmp_path / "clip.mp4")
    config = quick(**{"verify.mode": "sampled"})
    report, _ = run(tmp_path, frames(0, 5), sink=sink, config=config)
    assert sink.published
    assert report.verification.passed is None
    assert "cannot be read a second time" in report.verification.problem
    with pytest.raises(UsageError, match="cannot be verified"):
        run(tmp_path, frames(0, 5), config=quick(**{"verify.mode": "full"}))


def test_what_an_analyzer_says_again_after_every_gap_is_kept_once():
    config = quick(**{"tracker.window_megabytes": 16})
    analyzer = DetectAndTrack(Knows(), config)
    big = np.zeros((1080, 1920, 3), np.uint8)
    for index in range(5):
        list(analyzer.push(MemoryFrame(big, index)))
        list(analyzer.push(Gap(0, "reconnected")))
    assert len(analyzer.notes) == 1
    assert analyzer.detections_run >= 5
