"""Clocks that repeat, run back, leap, wrap or are missing: no frame is lost, and times go on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.media.input.source import FileSource
from stream_anon.media.packets import Packet
from stream_anon.media.splices import Splices
from tests.media.clips import av_frame, make_clip
from tests.media.conftest import pass_through

PLAIN = {"preset": "veryfast", "bf": "0", "g": "10"}
SIZE = (160, 128)


def times(path: Path) -> list[float]:
    with FileSource(path) as source:
        return [p.seconds for p in source.frames()]


def check_order(path: Path, indices: list[int]) -> None:
    """Every frame is there, in order: the waves move right by two samples a frame."""
    with FileSource(path) as source:
        lumas = [p.luma(1).astype(int) for p in source.frames()]
    assert len(lumas) == len(indices)
    for luma, index in zip(lumas, indices, strict=True):
        same = av_frame(index, *SIZE, "yuv420p")
        y = np.frombuffer(same.planes[0], np.uint8).reshape(SIZE[1], -1)[:, : SIZE[0]]
        assert np.abs(luma - y).mean() < 8


@pytest.mark.parametrize("target", ["out.ts", "out.mp4", "out.mkv"])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_recordings_that_were_joined_follow_each_other(tmp_path, bf, target):
    parts = [
        make_clip(
            tmp_path / f"{n}.ts", size=SIZE, count=n, options={**PLAIN, "bf": bf}, audio=["mp2"]
        )
        for n in (33, 26, 30)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    with FileSource(path) as source:
        items = list(source)
        assert source.spliced == 2
        assert source.repaired == 0
    pass_through(path, tmp_path / target)
    check_order(tmp_path / target, [*range(33), *range(26), *range(30)])
    made = times(tmp_path / target)
    gaps = np.diff(made)
    # Where they are joined, a sound that lasts a little longer may keep the next ones waiting.
    assert gaps.max() < 0.2
    assert sorted(gaps)[:-2] == pytest.approx(np.full(86, 0.04), abs=2e-3)
    # Sound keeps its place beside the frames of its own recording.
    sound = [i.data.pts * i.data.time_base for i in items if isinstance(i, Packet)]
    shown = [i.seconds for i in items if not isinstance(i, Packet)]
    assert all(a < b for a, b in pairwise(sound))
    alone = [FileSource(p) for p in parts]
    for source, first in zip(alone, (0, 33, 59), strict=True):
        items = list(source)
        own = next(i for i in items if isinstance(i, Packet)).data
        ahead = min(i.seconds for i in items if not isinstance(i, Packet))
        ahead -= float(own.pts * own.time_base)
        near = min(abs(shown[first] - float(s) - ahead) for s in sound)
        assert near < 1e-3
        source.close()


def test_a_clock_that_wraps_goes_on(tmp_path):
    first = (1 << 33) - 45000
    pts = [(first + 3600 * n) for n in range(30)]
    path = make_clip(
        tmp_path / "a.ts",
        size=SIZE,
        count=30,
        options=PLAIN,
        time_base=Fraction(1, 90000),
        pts=pts,
        container_options={"mpegts_copyts": "1"},
    )
    assert np.diff(times(path)) == pytest.approx(np.full(29, 0.04))
    pass_through(path, tmp_path / "out.mkv")
    assert np.diff(times(tmp_path / "out.mkv")) == pytest.approx(np.full(29, 0.04), abs=2e-3)


def frames_of(data: bytearray) -> Iterator[int]:
    """Where the packet headers (PES) of the video's frames begin in a transport stream."""
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x5F != 0x41:
            continue
        start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if data[start : start + 3] == b"\x00\x00\x01" and data[start + 3] & 0xF0 == 0xE0:
            yield start


def leaping(tmp_path: Path, leap: float, at: int, back: bool) -> Path:
    """A clip whose time leaps at one frame, and comes back at the next or does not."""
    source = make_clip(tmp_path / "whole.ts", size=SIZE, count=30, options={**PLAIN, "g": "1"})
    data = bytearray(source.read_bytes())
    for n, start in enumerate(frames_of(data)):
        if n == at or (n > at and not back):
            for field in [start + 9, start + 14][: (data[start + 7] >> 6) - 1]:
                _stamp(data, field, round(leap * 90000))
    path = tmp_path / "a.ts"
    path.write_bytes(data)
    return path


def _stamp(data: bytearray, at: int, more: int) -> None:
    """Add to a time of 33 bits (ISO/IEC 13818-1, 2.4.3.6)."""
    old = data[at : at + 5]
    time = (old[0] >> 1 & 7) << 30 | old[1] << 22 | (old[2] >> 1) << 15 | old[3] << 7 | old[4] >> 1
    time = (time + more) % (1 << 33)
    data[at : at + 5] = bytes(
        [
            old[0] & 0xF0 | (time >> 30) << 1 | 1,
            time >> 22 & 255,
            (time >> 15 & 127) << 1 | 1,
            time >> 7 & 255,
            (time & 127) << 1 | 1,
        ]
    )


def test_a_single_packet_that_is_30_seconds_late_is_put_between_its_neighbours(tmp_path):
    path = leaping(tmp_path, 30.0, 12, back=True)
    with FileSource(path) as source:
        seen = [p.seconds for p in source.frames()]
        assert (source.repaired, source.spliced) == (1, 0)
    assert seen == pytest.approx(times(tmp_path / "whole.ts"), abs=1e-3)
    pass_through(path, tmp_path / "out.mp4")
    assert len(times(tmp_path / "out.mp4")) == 30


def test_a_leap_ahead_stays_as_it_is(tmp_path):
    path = leaping(tmp_path, 30.0, 12, back=False)
    expected = [t + 30 * (n >= 12) for n, t in enumerate(times(tmp_path / "whole.ts"))]
    assert times(path) == pytest.approx(expected)
    pass_through(path, tmp_path / "out.mkv")
    assert times(tmp_path / "out.mkv") == pytest.approx(expected, abs=2e-3)


def without_times(source: Path, target: Path, every: int) -> Path:
    """A transport stream in which most frames have no time of their own."""
    data = bytearray(source.read_bytes())
    for count, start in enumerate(frames_of(data)):
        if count % every:
            data[start + 7] &= 0x3F
    target.write_bytes(data)
    return target


def test_times_that_are_missing_are_filled_in(tmp_path):
    whole = make_clip(tmp_path / "a.ts", size=SIZE, count=30, options=PLAIN)
    path = without_times(whole, tmp_path / "b.ts", every=7)
    assert times(path) == pytest.approx(times(whole), abs=1e-3)
    pass_through(path, tmp_path / "out.mp4")
    check_order(tmp_path / "out.mp4", list(range(30)))


def test_times_that_are_all_the_same(tmp_path):
    whole = make_clip(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p", size=SIZE, count=24)
    data = whole.read_bytes()
    path = tmp_path / "b.mkv"
    path.write_bytes(_still(data))
    with FileSource(path) as source:
        seen = [p.pts for p in source.frames()]
        assert source.repaired >= 12
    assert len(seen) == 24
    assert seen == sorted(set(seen))
    pass_through(path, tmp_path / "out.mkv")
    assert len(times(tmp_path / "out.mkv")) == 24


def _still(data: bytes) -> bytes:
    """A Matroska file, all of whose blocks are at the time of their cluster."""
    out, at = bytearray(data), 0
    while (at := data.find(b"\x81", at)) >= 0:
        # A SimpleBlock of track 1: its time follows the track's number, flags follow that.
        if data[at + 3 : at + 4] in (b"\x80", b"\x00") and data[at + 4 : at + 6] == b"\xff\xd8":
            out[at + 1 : at + 3] = b"\x00\x00"
        at += 1
    # The checksums of the clusters are those of the times that were.
    return bytes(out).replace(b"\xbf\x84", b"\xec\x84")


# The rule itself.


def packet(stream: int, pts: int, duration: int = 40) -> SimpleNamespace:
    return SimpleNamespace(
        stream_index=stream, pts=pts, dts=pts, duration=duration, time_base=Fraction(1, 1000)
    )


def passed(packets: list[SimpleNamespace]) -> tuple[list[tuple[int, int]], Splices]:
    splices = Splices()
    out = [p for one in packets for p, _ in splices.pass_on(one, sparse=False)]
    out += [p for p, _ in splices.rest()]
    return [(p.stream_index, p.dts) for p in out], splices


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 30)), min_size=1, max_size=6))
def test_whatever_is_joined_nothing_is_lost_and_streams_stay_together(parts):
    packets, expected = [], 0
    for start, count in parts:
        for n in range(count):
            packets += [packet(0, start + 40 * n), packet(1, start + 40 * n + 10)]
            expected += 2
    out, _ = passed(packets)
    assert len(out) == expected
    for stream in (0, 1):
        own = [dts for s, dts in out if s == stream]
        # Less than a quarter of a second is left to those who repair frame by frame.
        assert all(b > a - 250 for a, b in pairwise(own))
    gaps = {
        b - a
        for a, b in zip(
            sorted(d for s, d in out if s == 0), sorted(d for s, d in out if s == 1), strict=True
        )
    }
    assert max(gaps) <= 40 * len(parts)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=50))
def test_a_clock_that_goes_on_is_left_alone(steps):
    packets = [packet(n % 2, sum(steps[: n + 1])) for n in range(len(steps))]
    before = [(p.stream_index, p.dts) for p in packets]
    out, splices = passed(packets)
    assert out == before
    assert (splices.count, splices.moved) == (0, 0)


def test_subtitles_go_along_and_tell_nothing():
    splices = Splices()
    for n in range(20):
        list(splices.pass_on(packet(0, 1000 + 40 * n), sparse=False))
    list(splices.pass_on(packet(0, 0), sparse=False))
    assert splices.count == 1
    ((text, begins),) = splices.pass_on(packet(2, 0), sparse=True)
    assert (text.dts, begins) == (1840, False)
