"""Whatever kind of video it is: an unpainted one is refused, a painted one passes."""

from __future__ import annotations

import warnings
from collections import Counter
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

import stream_anon
from stream_anon.config import DetectorConfig, VerifyConfig
from stream_anon.errors import VerificationError
from stream_anon.verification import check, pairs
from stream_anon.verification.verifier import Verifier
from tests.verification import clips

COUNT = 30
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

SPANS = [(kind, {}) for kind in KINDS] + [(kind, {"start": 0.3, "end": 0.9}) for kind in CUT]


def name(case) -> str:
    kind, span = case
    return kind + (", cut" if span else "")


@pytest.mark.parametrize("case", SPANS, ids=name)
def test_unpainted_is_refused_and_painted_passes(tmp_path, monkeypatch, case):
    kind, span = case
    suffix, options = KINDS[kind]
    clip = clips.write(tmp_path / f"clip.{suffix}", COUNT, **{"options": {"g": "10"}, **options})
    painted, open_ = tmp_path / f"painted.{suffix}", tmp_path / f"open.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = stream_anon.redact(clip, painted, method="fill", verify="full", **span)
        with clips.painting_fails(monkeypatch), pytest.raises(VerificationError) as caught:
            stream_anon.redact(clip, open_, method="fill", verify="full", **span)
    streams = options.get("videos", 1)
    assert done.verification.passed
    assert done.verification.faces >= done.verification.frames == done.frames_out
    look = caught.value.report.verification
    assert look.problem is None
    # A person in every frame, and none is missed.
    assert look.unchanged_frames == look.frames == done.frames_out
    assert {one.stream for one in look.named} == set(range(streams))

    counts = Counter(one.stream for one in look.named)
    kept = tmp_path / f"open.unverified.{suffix}"
    for way in ("in order", "from the middle"):
        monkeypatch.setattr(check, "SHORT", 5 if way == "from the middle" else 450)
        for output, unchanged in ((painted, 0), (kept, 3 * streams)):
            files = check.Files(clip, output, counts, **span)
            verdict = check.check(verifier(), files, VerifyConfig(), 1.0)
            assert verdict.problem is None
            assert (verdict.frames, verdict.failed_frames) == (3 * streams, unchanged), way


@lru_cache(maxsize=1)
def verifier() -> Verifier:
    return Verifier(VerifyConfig(), "centerface", DetectorConfig(threads=1))


@pytest.mark.parametrize("kind", ["uneven times", "begins after an hour", "three streams"])
def test_a_file_with_an_index_is_read_from_the_middle(tmp_path, monkeypatch, kind):
    """Otherwise the test above would try the same way twice."""
    suffix, options = KINDS[kind]
    clip = clips.write(tmp_path / f"clip.{suffix}", COUNT, **{"options": {"g": "10"}, **options})
    monkeypatch.setattr(check, "SHORT", 5)
    monkeypatch.setattr(pairs.Pairs, "all", lambda *_: pytest.fail("read from its beginning"))
    files = check.Files(clip, clip, dict.fromkeys(range(options.get("videos", 1)), COUNT))
    assert check.check(verifier(), files, VerifyConfig(), 1.0).unchanged
