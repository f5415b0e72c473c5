"""The second pair of eyes on single pairs of frames."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.detection.blazeface import BlazeFace
from stream_anon.detection.types import Face
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.models import registry
from stream_anon.verification.verifier import KINDS, Look, Verifier, choose
from tests.verification import clips

FACE = (74, 36, 176, 160)
"""Generously around the face of ``clips.frame(0)``."""


def frame(rgb):
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return CpuFrame(made.reformat(format="yuv420p"))


def pixelated(rgb, cells=8):
    out = rgb.copy()
    x0, y0, x1, y1 = FACE
    small = cv2.resize(out[y0:y1, x0:x1], (cells, cells), interpolation=cv2.INTER_AREA)
    out[y0:y1, x0:x1] = cv2.resize(small, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    return out


@pytest.fixture(scope="module")
def verifier():
    return Verifier(VerifyConfig(detector="blazeface"), "centerface", DetectorConfig(threads=1))


def test_a_face_that_is_as_it_was_is_reported(verifier):
    rgb = clips.frame(0)
    assert verifier.check(frame(rgb), frame(rgb)).unchanged == 1


def test_a_painted_face_is_not(verifier):
    rgb = clips.frame(0)
    look = verifier.check(frame(rgb), frame(pixelated(rgb)))
    assert look.faces >= 1
    assert look.unchanged == 0


def test_another_face_in_the_same_place_is_not(verifier):
    rgb = clips.frame(0)
    x0, y0, x1, y1 = FACE
    other = rgb.copy()
    other[y0:y1, x0:x1] = other[y0:y1, x0:x1][:, ::-1]
    assert verifier.check(frame(rgb), frame(other)).unchanged == 0


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_frames_that_are_stored_turned(verifier, quarter_turns):
    rgb = np.rot90(clips.frame(0), -quarter_turns)
    assert verifier.check(frame(rgb), frame(rgb), quarter_turns).unchanged == 1
    blank = np.full_like(rgb, 90)
    assert verifier.check(frame(rgb), frame(blank), quarter_turns).unchanged == 0


@pytest.mark.parametrize("blind", [0, 1])
def test_whom_one_does_not_find_the_other_does(verifier, monkeypatch, blind):
    """It found one face in 13 frames of a talking head, and nobody else looked."""
    monkeypatch.setattr(verifier._eyes[blind].wide, "detect", lambda *_: [])
    rgb = clips.frame(0)
    assert verifier.check(frame(rgb), frame(rgb)) == Look(1, 1)
    assert verifier.check(frame(rgb), frame(pixelated(rgb))).unchanged == 0
    one, other = (eye.near for eye in verifier._eyes)
    assert one.name != other.name


def test_a_faint_find_of_the_analysing_make_is_looked_at_again(verifier, monkeypatch):
    """What is no face to the other is none, unless the run must have seen it as well: half a face
    at the frame's border (asl_personB_bird) is seen by nobody again, enlarged."""
    first, second = verifier._eyes
    monkeypatch.setattr(first.wide, "detect", lambda *_: [])
    nothing = frame(np.random.default_rng(1).integers(60, 90, (240, 320, 3)).astype(np.uint8))
    for score, size, reported in ((0.45, 60, 0), (0.6, 60, 1), (0.6, 18, 0)):
        found = [Face(np.array([100.0, 80.0, 100.0 + size, 80.0 + size]), None, score)]
        monkeypatch.setattr(second.wide, "detect", lambda *_, found=found: found)
        assert verifier.check(nothing, nothing).unchanged == reported


def test_a_few_frames_are_worth_one_engine_of_each_make():
    rgb = frame(clips.frame(0))
    engines = {}
    for mode in ("sampled", "full"):
        verifier = Verifier(VerifyConfig(mode=mode), "centerface", DetectorConfig(threads=1))
        assert verifier.check(rgb, rgb).unchanged == 1
        engines[mode] = [len(eye.wide._engines) for eye in verifier._eyes]
    assert engines["sampled"] == [1, 1]
    assert min(engines["full"]) > 1


def test_nobody_there_nothing_to_say(verifier):
    blank = frame(np.full((240, 320, 3), 90, np.uint8))
    assert verifier.check(blank, blank) == Look(0, 0)


def test_frames_of_two_sizes_are_refused(verifier):
    with pytest.raises(ValueError, match="size"):
        verifier.check(frame(clips.frame(0)), frame(clips.frame(0)[:200]))


def test_nothing_of_a_frame_is_kept(verifier):
    rgb = clips.frame(0)
    first, second = frame(rgb), frame(rgb)
    verifier.check(first, second)
    values = vars(verifier).values()
    assert not [value for value in values if isinstance(value, CpuFrame | np.ndarray)]


@pytest.mark.parametrize("analysed", list(KINDS))
def test_the_one_that_analysed_does_not_check_itself(analysed, monkeypatch):
    monkeypatch.setattr(registry, "verify", lambda name, models_dir=None: "ok")
    second, third = choose("auto", analysed)
    assert second != analysed
    assert third != second


def test_the_more_able_one_is_taken_where_it_is_at_hand(monkeypatch):
    monkeypatch.setattr(registry, "verify", lambda name, models_dir=None: "missing")
    assert choose("auto", "centerface")[0] == "blazeface"
    monkeypatch.setattr(registry, "verify", lambda name, models_dir=None: "ok")
    assert choose("auto", "centerface")[0] == "yunet"
    assert choose("blazeface", "centerface")[0] == "blazeface"


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("side", [256, 524, 1000])
def test_blazeface_finds_a_face_that_fills_the_frame(side, share):
    """As in a talking head's portrait, where it found parts of the face for faces."""
    wide = round(100 / share)
    x0, y0 = 125 - wide // 2, 98 - wide // 2
    crop = clips.frame(0)[max(0, y0) : y0 + wide, max(0, x0) : x0 + wide]
    rgb = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC)
    detector = BlazeFace(DetectorConfig(threads=1, threshold=0.5, keep_threshold=0.5))
    found = detector.detect(frame(rgb))
    assert found
    assert found[0].size > 0.6 * share * side


@pytest.mark.parametrize("scale", [0.35, 0.6, 1.0, 1.8, 2.5, 4.0, 6.0])
def test_blazeface_finds_a_face_at_its_size(scale):
    detector = BlazeFace(DetectorConfig(threads=1, threshold=0.3, keep_threshold=0.3))
    rgb = cv2.resize(clips.frame(0), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
    found = detector.detect(frame(rgb))
    assert found
    middle = (found[0].box[:2] + found[0].box[2:]) / 2 / scale
    assert FACE[0] < middle[0] < FACE[2]
    assert FACE[1] < middle[1] < FACE[3]
    assert 0.5 < float((found[0].box[2:] - found[0].box[:2]).max()) / scale / 100 < 1.5


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 360), (176, 144), (3840, 2160)])
def test_blazeface_looks_in_octaves(width, height):
    detector = BlazeFace(DetectorConfig(threads=1))
    sizes = detector.sizes(width, height)
    assert all(side % 32 == 0 for size in sizes for side in size)
    longest = [max(size) for size in sizes]
    assert longest == sorted(longest, reverse=True)
    # A face that fills the frame is as small as this one at last.
    assert longest[-1] <= 128
