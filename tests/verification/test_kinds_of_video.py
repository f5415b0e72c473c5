"""Whatever kind of video it is: an unpainted one is refused, a painted one passes."""

from __future__ import annotations

import warnings
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

import stream_anon
from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.verification import check, pairs
from stream_anon.verification.verifier import Verifier
from tests.verification import clips

COUNT = 20
MILLI = Fraction(1, 1000)
QUIET = {"x265-params": "log-level=none"}


def uneven(begin: int = 0) -> list[int]:
    steps = np.random.default_rng(7).integers(15, 95, COUNT)
    return (begin + np.cumsum(steps)).tolist()


KINDS = {
    "a quarter turn": ("mp4", {"rotation": 90}),
    "three quarter turns": ("mp4", {"rotation": 270}),
    "upside down": ("mkv", {"rotation": 180}),
    "odd sides": ("mkv", {"size": (331, 247), "pix_fmt": "yuv444p"}),
    "odd sides, turned": ("mp4", {"size": (247, 331), "pix_fmt": "yuv444p", "rotation": 90}),
    "10 bit": ("mp4", {"pix_fmt": "yuv420p10le"}),
    "10 bit, 4:2:2": ("mkv", {"pix_fmt": "yuv422p10le"}),
    "12 bit HEVC": ("mkv", {"codec": "libx265", "pix_fmt": "yuv420p12le", "options": QUIET}),
    "uneven times": ("mp4", {"times": uneven(), "base": MILLI}),
    "uneven times, Matroska": ("mkv", {"times": uneven(), "base": MILLI}),
    "uneven times, no index": ("ts", {"times": uneven(), "base": MILLI}),
    "begins after an hour": ("mp4", {"times": uneven(3_600_000), "base": MILLI}),
    "frames that refer forwards": ("mp4", {"options": {"preset": "fast", "bf": "3", "g": "12"}}),
    "three streams": ("mkv", {"videos": 3}),
    "two streams, turned": ("mp4", {"videos": 2, "rotation": 90}),
}  # fmt: skip

CUT = ("a quarter turn", "uneven times", "begins after an hour", "frames that refer forwards",
       "three streams")  # fmt: skip
"""Of these a part is tried as well."""

CASES = [(kind, {}) for kind in KINDS] + [(kind, {"start": 0.2, "end": 0.7}) for kind in CUT]

QUICK = ("a quarter turn", "odd sides, turned", "10 bit, 4:2:2", "uneven times, no index",
         "begins after an hour, cut", "three streams, cut")  # fmt: skip
"""Tried each time; the others with the slow tests."""


def name(case) -> str:
    kind, span = case
    return kind + (", cut" if span else "")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name(case), marks=[] if name(case) in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_unpainted_is_refused_and_painted_passes(tmp_path, monkeypatch, case):
    kind, span = case
    suffix, options = KINDS[kind]
    clip = clips.write(tmp_path / f"clip.{suffix}", COUNT, **{"options": {"g": "8"}, **options})
    painted, open_ = tmp_path / f"painted.{suffix}", tmp_path / f"open.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = stream_anon.redact(clip, painted, method="fill", verify="off", **span)
        with clips.painting_fails(monkeypatch):
            stream_anon.redact(clip, open_, method="fill", verify="off", **span)
    streams = options.get("videos", 1)
    counts = dict.fromkeys(range(streams), done.frames_out // streams)
    few = check.LEAST * streams
    for way, looked in (("full", done.frames_out), ("in order", few), ("from the middle", few)):
        monkeypatch.setattr(check, "SHORT", 5 if way == "from the middle" else 450)
        config = VerifyConfig(mode="full" if way == "full" else "sampled")
        for output in (painted, open_):
            files = check.Files(clip, output, counts, **span)
            verdict = check.check(verifier(), files, config, 1.0)
            assert verdict.problem is None, way
            assert verdict.passed == (output is painted), way
            # A person in every frame, and none is missed.
            assert verdict.frames == looked <= verdict.faces, way
            assert verdict.failed_frames == (0 if output is painted else looked), way
            found = {one.stream for one in verdict.findings}
            assert found == (set() if output is painted else set(range(streams))), way


@lru_cache(maxsize=1)
def verifier() -> Verifier:
    return Verifier(VerifyConfig(), "centerface", DetectorConfig(threads=1))


@pytest.mark.parametrize("kind", ["uneven times", "begins after an hour", "three streams"])
def test_a_file_with_an_index_is_read_from_the_middle(tmp_path, monkeypatch, kind):
    """Otherwise the test above would try the same way twice."""
    suffix, options = KINDS[kind]
    clip = clips.write(tmp_path / f"clip.{suffix}", COUNT, **{"options": {"g": "8"}, **options})
    monkeypatch.setattr(check, "SHORT", 5)
    monkeypatch.setattr(pairs.Pairs, "all", lambda *_: pytest.fail("read from its beginning"))
    files = check.Files(clip, clip, dict.fromkeys(range(options.get("videos", 1)), COUNT))
    assert check.check(verifier(), files, VerifyConfig(), 1.0).unchanged
