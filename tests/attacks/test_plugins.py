"""Attempts 30 and 31: plug-ins that answer nonsense, under both fault policies."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon import recipes
from stream_anon.config import parse
from stream_anon.detection.base import Detector, Look
from stream_anon.detection.types import Face
from stream_anon.errors import DetectorFault, TrackerFault
from stream_anon.pipeline.plan import make_plan
from tests.attacks.scene import FRAMES, face_at, leaks
from tests.extending.test_pages import register

POLICIES = ("stop", "step-down")
FIRST = 11
"""The frame from which on a plug-in answers nonsense."""


def far(index):
    return Face(np.array([9e6, 9e6, 9e6 + 80, 9e6 + 80]), None, 0.9)


class _Half:
    """Looks like a face where it is not looked at closely."""

    box = np.array([1.0, 1.0, np.nan, 5.0])
    landmarks = None
    score = 2.0
    size = 4.0


NONSENSE = {
    "nothing": lambda index: None,
    "a word": lambda index: "a face",
    "words": lambda index: ["a face"],
    "a look-alike": lambda index: [_Half()],
    "far outside": lambda index: [far(index)],
    "half right": lambda index: [face_at(index), far(index)],
    "boxes": lambda index: [face_at(index).box],
    "raises": lambda index: 1 / 0,
    "no face of ours": lambda index: [Face(np.full(4, np.nan), None, 0.9)],
}


class Odd(Detector):
    """A detector that a plug-in brings."""

    name = "odd"
    answer = staticmethod(lambda index: None)
    also_areas = False

    def __init__(self, *_):
        pass

    def detect(self, view, quarter_turns=0):
        return [face_at(view.index)] if view.index < FIRST else self.answer(view.index)

    def look(self, view, quarter_turns=0, regions=None):
        found = self.detect(view, quarter_turns)
        if self.also_areas and view.index >= FIRST:
            return Look([face_at(view.index)], np.zeros(3))
        return Look(found, None)


class Signs(Detector):
    """Finds what a plug-in's target is: nothing, and then nonsense."""

    name = "signs"
    answer = staticmethod(lambda index: None)

    def detect(self, view, quarter_turns=0):
        return [] if view.index < FIRST else self.answer(view.index)


class Right(Odd):
    def detect(self, view, quarter_turns=0):
        return [face_at(view.index)]


PLUG_IN = """
from stream_anon.pipeline.painting.shapes import DrawnShape
from stream_anon.sections import DetectorSection
from tests.attacks import test_plugins as here
class Section(DetectorSection):
    name: str = "odd"
class Odd(here.Odd):
    Options = Section
class Right(here.Right):
    Options = Section
class Sign:
    shape = DrawnShape()
    @staticmethod
    def detector(models_dir):
        return here.Signs()
"""


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    site = tmp_path_factory.mktemp("site")
    (site / "odd_plug_in.py").write_text(PLUG_IN)
    points = {
        "stream_anon.detectors": {"odd": "odd_plug_in:Odd", "right": "odd_plug_in:Right"},
        "stream_anon.targets": {"sign": "odd_plug_in:Sign"},
    }
    register(site, "odd-plug-in", {"entry-points": points})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(__import__("sys").modules, "odd_plug_in", raising=False)


def attempt(clip, tmp_path, policy, **sections):
    data = {
        "tracker": {"interval": 0.04}, "method": {"name": "pixelate"}, "verify": {"mode": "off"},
        "fault": {"policy": policy}, "head": {"interval": 0.04},
    }  # fmt: skip
    plan = make_plan(clip, tmp_path / "out.mp4", parse({**data, **sections}))
    running = recipes.pipeline("redact").build(plan)
    if policy == "stop":
        with pytest.raises((DetectorFault, TrackerFault)) as caught:
            running.run()
        assert "\n" not in str(caught.value)
        assert [path.name for path in clip.parent.iterdir()] == [clip.name]
        return
    report = running.run()
    assert leaks(tmp_path, clip) == []
    assert report.frames.stepped_down == {"pixelated": FRAMES - FIRST}
    assert report.frames.output == FRAMES


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NONSENSE)
def test_30_a_detector_plug_in_that_answers_nonsense(
    clip, tmp_path, installed, monkeypatch, name, policy
):
    monkeypatch.setattr(Odd, "answer", staticmethod(NONSENSE[name]))
    attempt(clip, tmp_path, policy, detector={"name": "odd"})


@pytest.mark.parametrize("policy", POLICIES)
def test_30_a_detector_plug_in_that_says_nonsense_of_where_it_looked(
    clip, tmp_path, installed, monkeypatch, policy
):
    monkeypatch.setattr(Odd, "answer", staticmethod(lambda index: []))
    monkeypatch.setattr(Odd, "also_areas", True)
    attempt(clip, tmp_path, policy, detector={"name": "odd"})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", sorted(NONSENSE.keys() - {"half right"}))
def test_31_a_target_s_detector_that_answers_nonsense(
    clip, tmp_path, installed, monkeypatch, name, policy
):
    """Though the faces are known: what else is in the frame is not."""
    monkeypatch.setattr(Signs, "answer", staticmethod(NONSENSE[name]))
    attempt(
        clip, tmp_path, policy,
        detector={"name": "right"}, targets={"face": None, "sign": None},
    )  # fmt: skip
