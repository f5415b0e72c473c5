"""Frames are paired with their own, in order or by time."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

import stream_anon
from stream_anon.errors import InputError, StreamAnonError, VerificationError
from stream_anon.media.input.probe import probe
from stream_anon.verification.pairs import Pairs
from tests.verification import clips

QUIET = {"method": "fill", "verify": "off"}


def luma(frame):
    return frame.luma(1).astype(np.int16)


def near(a, b):
    """Whether two frames are the same moment: the background and the body are the same."""
    return np.abs(luma(a)[180:] - luma(b)[180:]).mean() < 3.0


def all_pairs(clip, out, **span):
    pairs = Pairs(clip, out, [s.index for s in probe(clip).video], **span)
    return pairs, {stream: list(pairs.all(stream)) for stream in pairs.streams}


def test_every_frame_has_its_own(clip, tmp_path):
    out = tmp_path / "out.mp4"
    stream_anon.redact(clip, out, **QUIET)
    _, found = all_pairs(clip, out)
    assert [pair.index for pair in found[0]] == list(range(24))
    assert [pair.seconds for pair in found[0]] == pytest.approx([n / 25 for n in range(24)])
    assert all(near(pair.original, pair.output) for pair in found[0])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_at_a_moment_it_is_the_same_pair_as_in_order(tmp_path, suffix):
    steps = np.random.default_rng(2).integers(20, 90, 60)
    times = np.cumsum(steps).tolist()
    clip = clips.write(
        tmp_path / f"vfr{suffix}", 60, times=times, base=Fraction(1, 1000), options={"g": "12"}
    )
    out = tmp_path / f"out{suffix}"
    stream_anon.redact(clip, out, **QUIET)
    pairs, found = all_pairs(clip, out)
    first = found[0][0].seconds
    for moment in np.random.default_rng(5).uniform(0, found[0][-1].seconds - first - 0.05, 8):
        got = pairs.at(0, float(moment))
        assert got is not None
        later = [p.seconds for p in found[0] if p.seconds >= pairs_start(out) + moment - 0.0005]
        assert got.seconds == pytest.approx(later[0], abs=0.002)
        assert near(got.original, got.output)
        assert pairs.index(got) == [p.seconds for p in found[0]].index(later[0])


def test_there_is_a_pair_at_every_moment(tmp_path):
    """Also between the last frame's time and its end: a file is read from its beginning else."""
    clip = clips.write(tmp_path / "two.mkv", 12, videos=2, options={"g": "5"})
    pairs = Pairs(clip, clip, [0, 1])
    for stream in (0, 1):
        length = pairs.length(stream)
        assert length >= 0.48
        for moment in np.linspace(0, length, 40):
            got = pairs.at(stream, float(moment))
            assert got is not None
            assert moment - 0.25 <= got.seconds - pairs_start(clip) <= moment + 0.041


def pairs_start(path):
    return probe(path).start


@pytest.mark.parametrize("span", [{"start": 0.33}, {"end": 0.5}, {"start": 0.2, "end": 0.71}])
def test_a_part_is_paired_with_its_part(clip, tmp_path, span):
    out = tmp_path / "out.mp4"
    report = stream_anon.redact(clip, out, **QUIET, **span)
    pairs, found = all_pairs(clip, out, **span)
    assert len(found[0]) == report.frames_out
    assert all(near(pair.original, pair.output) for pair in found[0])
    got = pairs.at(0, 0.1)
    assert got is not None
    assert near(got.original, got.output)


def test_two_video_streams_are_not_mixed_up(tmp_path):
    clip = clips.write(tmp_path / "two.mkv", 16, videos=2)
    out = tmp_path / "out.mkv"
    stream_anon.redact(clip, out, **QUIET)
    pairs, found = all_pairs(clip, out)
    assert sorted(found) == [0, 1]
    assert all(near(p.original, p.output) for stream in found.values() for p in stream)
    assert not near(found[0][3].original, found[1][3].output)
    for stream in (0, 1):
        got = pairs.at(stream, 0.3)
        assert got is not None
        assert near(got.original, got.output)


def test_rotation_is_told(tmp_path):
    clip = clips.write(tmp_path / "turned.mp4", 6, rotation=180)
    out = tmp_path / "out.mp4"
    stream_anon.redact(clip, out, **QUIET)
    _, found = all_pairs(clip, out)
    assert {pair.quarter_turns for pair in found[0]} == {2}


def test_a_frame_without_counterpart_is_an_error(clip, tmp_path):
    out = tmp_path / "out.mp4"
    stream_anon.redact(clip, out, **QUIET, end=0.8)
    with pytest.raises(VerificationError, match="frame 20 of stream 0 is not in the output"):
        all_pairs(clip, out)


def test_another_size_is_an_error(clip, tmp_path):
    with av.open(str(tmp_path / "small.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(24):
            made = av.VideoFrame(160, 120, "yuv420p")
            made.pts, made.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    with pytest.raises(VerificationError, match="160x120"):
        all_pairs(clip, tmp_path / "small.mp4")


def test_a_lacking_stream_is_an_error(clip, tmp_path):
    two = clips.write(tmp_path / "two.mkv", 4, videos=2)
    with pytest.raises(VerificationError, match="holds 1 video streams, not 2"):
        all_pairs(two, clip)


def test_an_output_that_breaks_off_is_an_error(tmp_path):
    clip = clips.write(tmp_path / "person.mkv", 24)
    out = tmp_path / "out.mkv"
    stream_anon.redact(clip, out, **QUIET)
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StreamAnonError) as caught:
        all_pairs(clip, out)
    assert isinstance(caught.value, InputError | VerificationError)
