"""Whatever kind of video it is: an unpainted one is refused, a painted one passes."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

import stream_anon
from stream_anon.config import Config
from stream_anon.errors import VerificationError
from stream_anon.verification import check, pairs
from tests.verification import clips

COUNT = 30
MILLI = Fraction(1, 1000)


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
    "12 bit HEVC": (
        "mkv", {"codec": "libx265", "pix_fmt": "yuv420p12le", "options": {"x265-params": "log-level=none"}}
    ),
    "uneven times": ("mp4", {"times": uneven(), "base": MILLI}),
    "uneven times, Matroska": ("mkv", {"times": uneven(), "base": MILLI}),
    "uneven times, transport stream": ("ts", {"times": [90 * t for t in uneven()], "base": MILLI / 90}),
    "begins after an hour": ("mp4", {"times": uneven(3_600_000), "base": MILLI}),
    "frames that refer forwards": ("mp4", {"options": {"preset": "fast", "bf": "3", "g": "12"}}),
    "three streams": ("mkv", {"videos": 3}),
    "two streams, turned": ("mp4", {"videos": 2, "rotation": 90}),
}  # fmt: skip

SPANS = {"all of it": {}, "a part": {"start": 0.3, "end": 0.9}}

WAYS = ("full", "in order", "from the middle")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Clips by kind, made once."""
    folder, done = tmp_path_factory.mktemp("kinds"), {}

    def get(kind):
        if kind not in done:
            suffix, options = KINDS[kind]
            path = folder / f"{len(done)}.{suffix}"
            done[kind] = clips.write(path, COUNT, **{"options": {"g": "10"}, **options})
        return done[kind]

    return get


def configured(way, monkeypatch) -> Config:
    if way == "from the middle":
        monkeypatch.setattr(check, "SHORT", 5)
        real = pairs.Pairs.all

        def refused(self, stream):
            if self.indexed:
                raise AssertionError("the file was read from its beginning")
            return real(self, stream)

        monkeypatch.setattr(pairs.Pairs, "all", refused)
    mode = "full" if way == "full" else "sampled"
    return Config.model_validate({"verify": {"mode": mode}, "method": {"name": "fill"}})


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_unpainted_is_refused_and_painted_passes(made, tmp_path, monkeypatch, kind, way, span):
    clip = made(kind)
    config = configured(way, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = stream_anon.redact(
            clip, tmp_path / f"painted{clip.suffix}", config=config, **SPANS[span]
        )
        with clips.painting_fails(monkeypatch), pytest.raises(VerificationError) as caught:
            stream_anon.redact(
                clip, tmp_path / f"open{clip.suffix}", config=config, **SPANS[span]
            )
    assert done.verification.passed
    assert done.verification.problem is None
    assert done.verification.faces >= done.verification.frames
    look, streams = caught.value.report.verification, KINDS[kind][1].get("videos", 1)
    assert look.problem is None
    # A person in every frame, and none is missed.
    assert look.unchanged_frames == look.frames
    expected = done.frames_out if way == "full" else 3 * streams
    assert look.frames == done.verification.frames == expected
    assert {one.stream for one in look.named} == set(range(streams))
