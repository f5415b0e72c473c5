"""Attempts 6 to 12 and 16: parts that fail in the middle of a run."""

from __future__ import annotations

import json
import resource
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from stream_anon import recipes
from stream_anon.detection.types import Face
from stream_anon.errors import (
    DetectorFault,
    FrameFault,
    GateError,
    InputError,
    MethodFault,
    OutputError,
    StallFault,
    TrackerFault,
)
from stream_anon.media.frame import Frame
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.methods import Pixelate, Rendered
from stream_anon.methods.base import Method
from stream_anon.pipeline import analysis
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import Pipeline
from stream_anon.tracking.over_cover import TrackingResult
from stream_anon.tracking.tracker import Tracker
from tests.attacks.scene import FRAMES, Scripted, face_at, frame, leaks, quick

POLICIES = ("stop", "step-down")


def build(clip, config, detector=None, method=None, source=None):
    plan = make_plan(clip, clip.parent / "out.mp4", config)
    source = source or FileSource(clip, copied=plan.media.copied)
    sink = FileSink(plan.request.output, plan.media, source.info, config.video)
    compositor = Compositor(method or Pixelate(), config.fault)
    return Pipeline(plan, source, detector or Scripted(), compositor, sink)


def nothing_left(clip):
    return sorted(path.name for path in clip.parent.iterdir()) == [clip.name]


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_the_judge_sees_the_face_and_a_whole_run_hides_it(clip, tmp_path):
    other = tmp_path / "copy.mp4"
    other.write_bytes(clip.read_bytes())
    assert len(leaks(tmp_path, clip)) == FRAMES, "the judge must be able to see it"
    other.unlink()
    report = build(clip, quick()).run()
    assert leaks(tmp_path, clip) == []
    assert (report.frames_in, report.frames_out, report.frames_with_faces) == (FRAMES,) * 3
    assert frames_of(tmp_path / "out.mp4") == FRAMES


def _raise(index, faces):
    raise RuntimeError("out of memory")


def _refuse(index, faces):
    raise DetectorFault("centerface answered with values that are not finite")


def _nan(index, faces):
    return [Face(np.full(4, np.nan), None, 0.9)]


def _nonsense(index, faces):
    return ["a face"]


DETECTORS = {"raises": _raise, "refuses": _refuse, "nan": _nan, "nonsense": _nonsense}


def from_frame(first, act):
    return lambda index, faces: act(index, faces) if index >= first else faces


@pytest.mark.parametrize("first", [0, 11])
@pytest.mark.parametrize("name", DETECTORS)
def test_6_a_detector_that_fails_stops_the_run(clip, tmp_path, name, first):
    detector = Scripted(from_frame(first, DETECTORS[name]))
    with pytest.raises((DetectorFault, TrackerFault)):
        build(clip, quick(), detector).run()
    assert nothing_left(clip)


@pytest.mark.parametrize("name", DETECTORS)
def test_6_a_detector_that_fails_steps_down(clip, tmp_path, name):
    detector = Scripted(from_frame(11, DETECTORS[name]))
    config = quick(**{"fault.policy": "step-down"})
    report = build(clip, config, detector).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames.stepped_down == {"pixelated": FRAMES - 11}
    assert frames_of(tmp_path / "out.mp4") == FRAMES


def test_6_a_detector_that_fails_for_a_while_covers_that_while(clip, tmp_path):
    wrong = lambda index, faces: _raise(index, faces) if 8 <= index < 14 else faces  # noqa: E731
    config = quick(**{"fault.policy": "step-down"})
    report = build(clip, config, Scripted(wrong)).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames.stepped_down == {"pixelated": 6}


def test_7_a_detector_that_hangs_is_given_up(clip, tmp_path):
    over = threading.Event()

    def hang(index, faces):
        if index == 5:
            # Until the test is over, however slow the machine is: the run must not wait for it.
            over.wait()
        return faces

    # Long enough that nothing else takes as long on a machine with other work.
    config = quick(**{"fault.stall_seconds": 2.0})
    try:
        with pytest.raises(StallFault, match="detect and track gave no answer"):
            build(clip, config, Scripted(hang)).run()
        assert nothing_left(clip)
    finally:
        over.set()


class Spoiled(Tracker):
    """Passes everything that is decided through ``spoil``."""

    def push(self, *pushed, **named):
        return self.spoil(super().push(*pushed, **named))

    def flush(self):
        return self.spoil(super().flush())


class Skips(Spoiled):
    def spoil(self, decided):
        return [d for d in decided if d.index != 4]


class SkipsTheLast(Spoiled):
    def spoil(self, decided):
        return [d for d in decided if d.index != FRAMES - 1]


class Swaps(Spoiled):
    def spoil(self, decided):
        return [TrackingResult(d.index ^ 1, d.faces, d.ended) for d in decided]


class Twice(Spoiled):
    def spoil(self, decided):
        return decided + decided[:1]


class Raises(Tracker):
    def push(self, index, *rest, **named):
        if index == 9:
            raise ZeroDivisionError("float division by zero")
        return super().push(index, *rest, **named)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("tracker", "error"),
    [
        (Skips, GateError),
        (SkipsTheLast, GateError),
        (Swaps, GateError),
        (Twice, GateError),
        (Raises, TrackerFault),
    ],
)
def test_8_and_16_a_tracker_that_fails_stops_the_run(
    clip, tmp_path, monkeypatch, tracker, error, policy
):
    monkeypatch.setattr(analysis, "Tracker", tracker)
    with pytest.raises(error):
        build(clip, quick(**{"fault.policy": policy})).run()
    assert nothing_left(clip)


class Broken(Method):
    name = "broken"
    crop_size = 64

    def __init__(self, act):
        self._act = act
        self.calls = 0

    def render(self, crops, subjects):
        self.calls += 1
        return self._act(crops) if self.calls > 5 else Rendered(np.full_like(crops, 90))


def _method_raises(crops):
    raise RuntimeError("no such tensor")


METHODS = {
    "raises": _method_raises,
    "no answer": lambda crops: None,
    "wrong shape": lambda crops: Rendered(crops[:, :10]),
    "nan": lambda crops: Rendered(crops * np.float32("nan")),
}


@pytest.mark.parametrize("name", METHODS)
def test_9_a_method_that_fails_stops_the_run(clip, tmp_path, name):
    with pytest.raises(MethodFault):
        build(clip, quick(), method=Broken(METHODS[name])).run()
    assert nothing_left(clip)


@pytest.mark.parametrize("name", METHODS)
def test_9_a_method_that_fails_steps_down(clip, tmp_path, name):
    config = quick(**{"fault.policy": "step-down"})
    report = build(clip, config, method=Broken(METHODS[name])).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames.stepped_down == {"fill": FRAMES - 5}


@pytest.mark.parametrize(
    "act", [lambda crops: Rendered(crops.copy()), lambda crops: Rendered(crops // 2 * 2)]
)
def test_9_the_input_itself_never_shows(clip, tmp_path, act):
    report = build(clip, quick(), method=Broken(act)).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames.faces_stepped_down >= FRAMES - 5


class Damaged(FileSource):
    """Marks one frame as the decoder marks a damaged one."""

    def __iter__(self):
        for item in super().__iter__():
            if isinstance(item, Frame) and item.index == 12:
                item.corrupt = True
            yield item


def test_10_a_damaged_frame_stops_the_run(clip, tmp_path):
    with pytest.raises(FrameFault, match="damaged"):
        build(clip, quick(), source=Damaged(clip)).run()
    assert nothing_left(clip)


def test_10_a_damaged_frame_steps_down(clip, tmp_path):
    config = quick(**{"fault.policy": "step-down"})
    report = build(clip, config, source=Damaged(clip)).run()
    assert report.frames.stepped_down == {"pixelated": 1}
    assert leaks(tmp_path, clip) == []


def _spoil(clip, at=0.5, length=400):
    data = bytearray(clip.read_bytes())
    middle = int(len(data) * at)
    data[middle : middle + length] = bytes(length)
    clip.write_bytes(bytes(data))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_10_damaged_bytes_never_show_a_face(clip, tmp_path, at):
    _spoil(clip, at)
    try:
        build(clip, quick()).run()
    except (FrameFault, InputError):
        assert nothing_left(clip)
    assert leaks(tmp_path, clip) == []


def _part(path, width, pixel_format, start):
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = width, 240, pixel_format
        video.options = {"bf": "0", "preset": "ultrafast"}
        for index in range(12):
            av_frame = av.VideoFrame.from_ndarray(frame(index)[:, :width], format="rgb24")
            av_frame.pts, av_frame.time_base = start + index, Fraction(1, 25)
            container.mux(video.encode(av_frame))
        container.mux(video.encode())
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("second", [(256, "yuv420p"), (320, "yuv444p")], ids=["size", "format"])
def test_11_a_change_of_size_or_format_leaves_nothing(tmp_path, second, policy):
    clip = tmp_path / "changes.ts"
    first = _part(tmp_path / "a.ts", 320, "yuv420p", 0)
    clip.write_bytes(first + _part(tmp_path / "b.ts", *second, 12))
    plan = make_plan(clip, tmp_path / "out.ts", quick(**{"fault.policy": policy}))
    with pytest.raises(FrameFault, match=r"changes\.ts"):
        recipes.pipeline("redact").build(plan).run()
    assert nothing_left(clip)


def test_12_a_full_disk_leaves_nothing(clip, tmp_path):
    """The system's limit on the size of a file stands in for a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match=r"out\.mp4"):
            build(clip, quick()).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert nothing_left(clip)


def test_the_report_names_nobody(clip, tmp_path):
    report = json.loads(build(clip, quick()).run().to_json())
    assert str(tmp_path) not in json.dumps(report)
    assert set(report["tracks"][0]) == {
        "track", "stream", "label", "first_pts", "last_pts", "first_seconds", "last_seconds",
        "frames",
    }
    assert report["streams"][1]["packets"] > 10
    assert face_at(0).box[0] not in report["tracks"][0].values()
