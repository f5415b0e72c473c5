"""Attempts 19 to 25: get a face past the painting, by a method, a frame or a place that lies."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import av
import cv2
import numpy as np
import pytest

from stream_anon.errors import Fault, FrameFault, GateError, MethodFault, TrackerFault
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.methods import Pixelate, Rendered
from stream_anon.methods.base import Method
from stream_anon.pipeline import analysis
from stream_anon.pipeline.stream_analyzer import StreamAnalyzer
from stream_anon.tracking.over_cover import TrackingResult
from stream_anon.tracking.tracker import Tracker
from tests.attacks.scene import FRAMES, Scripted, leaks, quick, shows_face, write_clip
from tests.attacks.test_faults import build, nothing_left
from tests.media.clips import make_clip
from tests.pipeline.portraits import ALTERED

FROM = 5
"""The first frames are painted well, so that something is written before things go wrong."""

POLICIES = ("stop", "step-down")

ERRORS = {
    "value": ValueError("a transform is singular"),
    "memory": MemoryError(),
    "cv2": cv2.error("OpenCV: -215 assertion failed"),
}


class Turns(Method):
    """Flat faces at first; then does as told."""

    name = "turns"
    crop_size = 64

    def __init__(self, act):
        self._act = act
        self._calls = 0

    def render(self, crops, subjects):
        self._calls += 1
        if self._calls <= FROM:
            return Rendered(np.full_like(crops, 90))
        return self._act(crops)


def run(clip, policy, method=None, detector=None):
    """What came of it: a report, or the fault that ended it. Nobody looks a second time."""
    config = quick(**{"fault.policy": policy, "verify.mode": "off"})
    try:
        return build(clip, config, detector, method).run()
    except Fault as fault:
        return fault


def hidden(clip, tmp_path, policy, result, fault, stepped_down):
    """Stop leaves nothing but an error; step-down a file that shows nobody, and its count."""
    assert leaks(tmp_path, clip) == []
    if policy == "stop":
        assert isinstance(result, fault)
        assert nothing_left(clip)
    else:
        assert result.frames.stepped_down == stepped_down
        assert result.frames_out == FRAMES


def _plainly(crops):
    raw = crops.copy()
    crops[:] = 0
    return Rendered(raw)


def _by_force(crops):
    raw = crops.copy()
    crops.setflags(write=True)
    crops[:] = 0
    return Rendered(raw)


@pytest.mark.parametrize("policy", POLICIES)
def test_19_a_method_that_writes_into_its_crops(clip, tmp_path, policy):
    result = run(clip, policy, Turns(_plainly))
    hidden(clip, tmp_path, policy, result, MethodFault, {"fill": FRAMES - FROM})


@pytest.mark.parametrize("policy", POLICIES)
def test_19_a_method_that_writes_by_force(clip, tmp_path, policy):
    result = run(clip, policy, Turns(_by_force))
    assert leaks(tmp_path, clip) == []
    assert isinstance(result, Fault) or result.frames.faces_stepped_down == FRAMES - FROM


@pytest.mark.parametrize("name", ALTERED)
def test_20_an_altered_face_is_no_new_face(clip, tmp_path, name):
    def act(crops):
        return Rendered(np.stack([np.asarray(ALTERED[name](crop), np.uint8) for crop in crops]))

    report = run(clip, "stop", Turns(act))
    assert leaks(tmp_path, clip) == []
    assert report.frames.faces_stepped_down == FRAMES - FROM


def _raise(error):
    raise error


NONSENSE = {
    "raises a value error": lambda crops: _raise(ERRORS["value"]),
    "runs out of memory": lambda crops: _raise(ERRORS["memory"]),
    "fails in OpenCV": lambda crops: _raise(ERRORS["cv2"]),
    "answers text": lambda crops: "faces",
    "answers the crops alone": lambda crops: crops,
    "answers a list": lambda crops: Rendered(list(crops)),
    "answers nothing in it": lambda crops: Rendered(None),
    "floats that are not finite": lambda crops: Rendered(np.full(crops.shape, np.nan)),
    "signed": lambda crops: Rendered(crops.astype(np.int8)),
    "wide": lambda crops: Rendered(crops.astype(np.uint16)),
    "objects": lambda crops: Rendered(crops.astype(object)),
    "no side": lambda crops: Rendered(crops[:, :0, :0]),
    "four channels": lambda crops: Rendered(np.concatenate([crops, crops[..., :1]], axis=3)),
    "one too many": lambda crops: Rendered(np.concatenate([crops, crops])),
    "masks of floats": lambda crops: Rendered(crops, np.zeros(crops.shape[:3])),
    "masks of another count": lambda crops: Rendered(crops, np.zeros((7, 8, 8), np.uint8)),
    "masks that are a list": lambda crops: Rendered(crops, [0]),
    "declined as numbers": lambda crops: Rendered(crops, None, np.zeros(len(crops), np.uint8)),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NONSENSE)
def test_21_a_method_that_answers_nonsense(clip, tmp_path, name, policy):
    result = run(clip, policy, Turns(NONSENSE[name]))
    expected = (MethodFault, FrameFault)
    hidden(clip, tmp_path, policy, result, expected, {"fill": FRAMES - FROM})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("side", [1, 8, 64])
def test_21_masks_of_zero_cover_as_much_as_any(clip, tmp_path, side, policy):
    def act(crops):
        return Rendered(np.full_like(crops, 90), np.zeros((len(crops), side, side), np.uint8))

    report = run(clip, policy, Turns(act))
    assert leaks(tmp_path, clip) == []
    assert report.frames.stepped_down == {}


def spoil(monkeypatch, part, error, only_once):
    """Make crop or paste raise from the frame ``FROM`` on."""
    real, failed = getattr(CpuFrame, part), set()

    def spoiled(self, *given):
        if self.index >= FROM and not (only_once and self.index in failed):
            failed.add(self.index)
            raise error
        return real(self, *given)

    monkeypatch.setattr(CpuFrame, part, spoiled)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("only_once", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("part", ["crops", "paste"])
def test_22_a_frame_that_cannot_be_cut_or_painted(
    clip, tmp_path, monkeypatch, part, error, only_once, policy
):
    spoil(monkeypatch, part, error, only_once)
    result = run(clip, policy)
    level = "fill" if only_once else "pixelated"
    hidden(clip, tmp_path, policy, result, FrameFault, {level: FRAMES - FROM})


@pytest.mark.parametrize("policy", POLICIES)
def test_22_a_frame_that_cannot_be_pixelated_either_is_black(clip, tmp_path, monkeypatch, policy):
    spoil(monkeypatch, "paste", MemoryError(), only_once=False)
    spoil(monkeypatch, "pixelate", MemoryError(), only_once=False)
    result = run(clip, policy)
    hidden(clip, tmp_path, policy, result, FrameFault, {"black": FRAMES - FROM})


NOWHERE = {
    "not finite": {"box": np.full(4, np.nan)},
    "far right": {"box": np.array([1e6, 10.0, 1e6 + 60.0, 70.0])},
    "far left": {"box": np.array([-2000.0, 10.0, -1940.0, 70.0])},
    "inside out": {"box": np.array([90.0, 90.0, 10.0, 10.0])},
    "landmarks not finite": {"landmarks": np.full((5, 2), np.nan)},
}


UNHEARD = {
    "transform not finite": {"transform": np.full((2, 3), np.inf)},
    "transform flat": {"transform": np.zeros((2, 3))},
    "mask elsewhere": {"transform": np.array([[1.0, 0.0, 4000.0], [0.0, 1.0, 4000.0]])},
}
"""Transforms are made from boxes where faces are painted: a tracker's are not asked for."""


def lies(changes):
    """A tracker that says something else of each face."""

    class Lies(Tracker):
        def push(self, *pushed, **named):
            return [self.spoiled(d) for d in super().push(*pushed, **named)]

        def flush(self):
            return [self.spoiled(d) for d in super().flush()]

        def spoiled(self, decided):
            if decided.index < FROM:
                return decided
            faces = tuple(replace(face, **changes) for face in decided.faces)
            return TrackingResult(decided.index, faces, decided.ended)

    return Lies


@pytest.mark.parametrize("name", UNHEARD)
def test_23_a_transform_that_lies_is_not_heard(clip, tmp_path, monkeypatch, name):
    monkeypatch.setattr(analysis, "Tracker", lies(UNHEARD[name]))
    report = build(clip, quick()).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames_with_faces == FRAMES
    assert report.frames.stepped_down == {}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NOWHERE)
def test_23_a_face_that_is_said_to_be_nowhere(clip, tmp_path, monkeypatch, name, policy):
    monkeypatch.setattr(analysis, "Tracker", lies(NOWHERE[name]))
    result = run(clip, policy)
    hidden(clip, tmp_path, policy, result, TrackerFault, {"pixelated": FRAMES - FROM})


def test_23_a_place_cannot_be_changed_after_it_was_checked(clip, tmp_path):
    """A detector that keeps hold of its arrays and spoils them later."""
    kept = []

    def max_age(index, faces):
        for face in faces:
            box = np.array(face.box)
            kept.append((box, replace(face, box=box)))
        for box, _ in kept[:-1]:
            box[:] = np.nan
        return [kept[-1][1]]

    report = build(clip, quick(), Scripted(max_age)).run()
    assert leaks(tmp_path, clip) == []
    assert report.frames_with_faces == FRAMES


class Doubling(Scripted):
    """Answers for two streams, and fails on one of them from a frame on."""

    def __init__(self, bad=None):
        super().__init__()
        self._bad = bad

    def detect(self, view, quarter_turns=0):
        if self._bad is not None and view.stream == self._bad and view.index >= FROM:
            raise RuntimeError("no such tensor")
        return super().detect(view, quarter_turns)


def two_streams(path):
    """The scene twice in one file."""
    return write_clip(path, videos=2)


def shown(path, stream):
    """Frames of one video stream that show the face, and how many it has."""
    found, count = [], 0
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=stream)):
            count += 1
            if shows_face(frame.to_ndarray(format="rgb24"), index):
                found.append(index)
    return found, count


def test_24_two_video_streams_are_both_covered(tmp_path):
    clip = two_streams(tmp_path / "two.mp4")
    for stream in (0, 1):
        assert len(shown(clip, stream)[0]) == FRAMES, "the judge must be able to see it"
    report = build(clip, quick(), Doubling()).run()
    for stream in (0, 1):
        assert shown(tmp_path / "out.mp4", stream) == ([], FRAMES)
    assert report.frames_in == report.frames_out == report.frames_with_faces == 2 * FRAMES
    tracks = [track.stream for track in report.tracks]
    assert sorted(tracks) == [0, 1]


@pytest.mark.parametrize("bad", [0, 1])
def test_24_what_fails_in_one_stream_steps_down_there_alone(tmp_path, bad):
    clip = two_streams(tmp_path / "two.mp4")
    config = quick(**{"fault.policy": "step-down"})
    report = build(clip, config, Doubling(bad)).run()
    for stream in (0, 1):
        assert shown(tmp_path / "out.mp4", stream) == ([], FRAMES)
    # Doubt may reach back to the last successful detector run, in that stream.
    assert set(report.frames.stepped_down) == {"pixelated"}
    assert FRAMES - FROM <= report.frames.stepped_down["pixelated"] <= FRAMES


class Loses(StreamAnalyzer):
    """One frame goes missing between the tracker and the gate, and nobody says so."""

    def push(self, frame):
        yield from (one for one in super().push(frame) if one.frame.index != 3)

    def flush(self):
        yield from (one for one in super().flush() if one.frame.index != 3)


@pytest.mark.parametrize("policy", POLICIES)
def test_25_a_frame_that_goes_missing_leaves_no_output(clip, tmp_path, monkeypatch, policy):
    monkeypatch.setattr(analysis, "StreamAnalyzer", Loses)
    with pytest.raises(GateError, match="36 frames were read, 35 written"):
        build(clip, quick(**{"fault.policy": policy})).run()
    assert nothing_left(clip)


@pytest.mark.parametrize(("rotation", "quarter_turns"), [(None, 0), (90, 1), (180, 2), (-90, 3)])
def test_the_detector_and_the_tracker_are_told_how_the_frame_lies(
    tmp_path, monkeypatch, rotation, quarter_turns
):
    clip = make_clip(tmp_path / "in.mp4", count=6, rotation=rotation)
    told = []

    class Asks(Scripted):
        def detect(self, view, quarter_turns=0):
            told.append(quarter_turns)
            return []

    class Listens(Tracker):
        def __init__(self, *given, **named):
            told.append(signature(Tracker).bind(*given, **named).arguments["quarter_turns"])
            super().__init__(*given, **named)

    monkeypatch.setattr(analysis, "Tracker", Listens)
    build(clip, quick(), Asks(), Pixelate()).run()
    assert len(told) > 2
    assert set(told) == {quarter_turns}
