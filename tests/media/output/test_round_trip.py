"""Every media property goes in and comes out again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from stream_anon.media.compare import describe, differences
from stream_anon.media.input.probe import probe
from tests.media.clips import make_clip
from tests.media.conftest import pass_through

VFR = [
    0,
    33,
    40,
    100,
    141,
    180,
    300,
    333,
    367,
    400,
    900,
    933,
    967,
    1000,
    1100,
    1133,
    1167,
    1200,
    1500,
    1533,
]


def same(source: Path, target: Path, **options) -> list[str]:
    """Differences after a round trip."""
    pass_through(source, target, **options)
    return differences(describe(source), describe(target))


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", None),
        (".mov", "libx264", None),
        (".mkv", "libx264", None),
        (".ts", "libx264", None),
        (".avi", "mpeg4", {}),
        (".avi", "mjpeg", {}),
        (".mp4", "mpeg4", {"bf": "2"}),
        (".mov", "mjpeg", {}),
        (".mkv", "libx265", None),
        (".mp4", "libsvtav1", {"preset": "12"}),
        (".webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        (".webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        (".h264", "libx264", None),
        (".h265", "libx265", None),
    ],
)
def test_each_container_and_codec_comes_back_in_the_same_container(
    tmp_path, suffix, codec, options
):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_clip(
        tmp_path / f"in{suffix}", codec=codec, pix_fmt=pix_fmt, options=options, count=18
    )
    target = tmp_path / f"out{suffix}"
    assert same(source, target, **_quick(suffix)) == []
    assert len(describe(target).of("video")[0].times) == 18


def _quick(suffix: str) -> dict[str, str]:
    presets = {".webm": "8", ".h265": "ultrafast"}
    return {"preset": presets.get(suffix, "ultrafast")}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_variable_frame_rate(tmp_path, suffix):
    source = make_clip(tmp_path / f"in{suffix}", pts=VFR, time_base=Fraction(1, 1000))
    assert same(source, tmp_path / f"out{suffix}") == []


def test_variable_frame_rate_webm(tmp_path):
    source = make_clip(
        tmp_path / "in.webm",
        codec="libvpx-vp9",
        pts=VFR,
        time_base=Fraction(1, 1000),
        options={"deadline": "realtime", "cpu-used": "8"},
    )
    assert same(source, tmp_path / "out.webm", preset="8") == []


def test_variable_frame_rate_ts(tmp_path):
    pts = [126000 + 90 * t for t in VFR]
    source = make_clip(tmp_path / "in.ts", pts=pts, time_base=Fraction(1, 90000))
    assert same(source, tmp_path / "out.ts") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("first", [1, 7, 50, 1000])
def test_first_time_that_is_not_zero(tmp_path, suffix, first):
    base = Fraction(1, 90000) if suffix == ".ts" else Fraction(1, 1000)
    unit = round(Fraction(1, 1000) / base)
    pts = [(first + 40 * n) * unit for n in range(20)]
    source = make_clip(
        tmp_path / f"in{suffix}", pts=pts, time_base=base, audio=["aac"], options={"bf": "0"}
    )
    # A transport stream moves on a little, so that nothing is decoded before time 0.
    assert describe(source).of("video")[0].times[0] >= pts[0] * base
    assert same(source, tmp_path / f"out{suffix}") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov"])
def test_frames_that_are_stored_out_of_order(tmp_path, suffix):
    source = make_clip(
        tmp_path / f"in{suffix}",
        options={"preset": "fast", "bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"},
        count=30,
    )
    with av.open(str(source)) as container:
        stamps = [p.pts for p in container.demux(video=0) if p.size]
    assert stamps != sorted(stamps)
    assert same(source, tmp_path / f"out{suffix}", preset="veryfast") == []


def test_edit_list_hides_the_frames_before_it(tmp_path):
    # Decoding starts at a keyframe that the edit list then hides.
    pts = [40 * n - 160 for n in range(20)]
    source = make_clip(
        tmp_path / "in.mp4", pts=pts, time_base=Fraction(1, 1000), options={"bf": "0"}
    )
    facts = describe(source).of("video")[0]
    assert facts.times[0] is not None
    assert facts.times[0] >= 0
    assert same(source, tmp_path / "out.mp4") == []


@pytest.mark.parametrize(
    ("codec", "size"),
    [("mjpeg", (95, 63)), ("mjpeg", (96, 63)), ("libvpx-vp9", (95, 63)), ("ffv1", (33, 31))],
)
def test_odd_sizes(tmp_path, codec, size):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_clip(tmp_path / "in.mkv", codec=codec, size=size, pix_fmt=pix_fmt, count=6)
    assert same(source, tmp_path / "out.mkv") == []
    assert describe(tmp_path / "out.mkv").of("video")[0].size == size


@pytest.mark.parametrize("codec", ["hevc", "av1", "vp9"])
@pytest.mark.parametrize("size", [(95, 63), (96, 64)])
def test_other_codecs_by_option(tmp_path, codec, size):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", size=size, count=8)
    preset = {"hevc": "ultrafast", "av1": "12", "vp9": "8"}[codec]
    assert same(source, tmp_path / "out.mkv", codec=codec, preset=preset) == []
    assert describe(tmp_path / "out.mkv").of("video")[0].codec == codec


@pytest.mark.parametrize(("suffix", "aspect"), [(".mp4", "4/3"), (".mkv", "16/11"), (".ts", "8/9")])
def test_sample_aspect(tmp_path, suffix, aspect):
    source = make_clip(tmp_path / f"in{suffix}", sample_aspect=Fraction(aspect), count=6)
    assert same(source, tmp_path / f"out{suffix}") == []
    assert describe(tmp_path / f"out{suffix}").of("video")[0].sample_aspect == Fraction(aspect)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation(tmp_path, suffix, degrees):
    source = make_clip(tmp_path / f"in{suffix}", rotation=degrees, count=5)
    assert same(source, tmp_path / f"out{suffix}") == []
    assert abs(describe(tmp_path / f"out{suffix}").of("video")[0].rotation) == abs(degrees)


@pytest.mark.parametrize(
    "colour",
    [(1, 1, 1, 1), (9, 16, 9, 1), (6, 6, 6, 1), (5, 6, 5, 1), (9, 18, 9, 1), (1, 13, 1, 2)],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_colour_tags(tmp_path, suffix, colour):
    source = make_clip(tmp_path / f"in{suffix}", colour=colour, count=5)
    facts = describe(source).of("video")[0].colour
    assert facts is not None
    assert (facts.primaries, facts.transfer, facts.matrix, facts.range) == colour
    assert same(source, tmp_path / f"out{suffix}") == []


@pytest.mark.parametrize(
    "pix_fmt",
    [
        "yuv420p10le",
        "yuv422p",
        "yuv422p10le",
        "yuv444p",
        "yuv444p10le",
        "yuvj420p",
        "yuvj422p",
        "yuvj444p",
        "gray",
        "gray10le",
    ],
)
def test_depth_chroma_and_range(tmp_path, pix_fmt):
    source = make_clip(tmp_path / "in.mp4", pix_fmt=pix_fmt, count=6)
    assert same(source, tmp_path / "out.mp4") == []
    before, after = describe(source).of("video")[0], describe(tmp_path / "out.mp4").of("video")[0]
    assert after.pix_fmt == before.pix_fmt


@pytest.mark.parametrize(
    ("pix_fmt", "became", "word"),
    [
        ("yuv420p12le", "yuv420p10le", "rounded"),
        ("yuv440p", "yuv444p", "nothing is lost"),
        ("yuva420p", "yuv420p", "opacity"),
        ("yuv411p", "yuv422p", "nothing is lost"),
        ("bgr0", "yuv444p", None),
    ],
)
def test_a_format_that_the_encoder_lacks_becomes_the_nearest_one_and_the_report_says_so(
    tmp_path, pix_fmt, became, word
):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, count=4)
    plan = pass_through(source, tmp_path / "out.mkv")
    assert describe(tmp_path / "out.mkv").of("video")[0].pix_fmt == became
    if word:
        assert any(word in note for note in plan.notes)


def test_twelve_bits_survive_in_hevc(tmp_path):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv420p12le", count=4)
    assert same(source, tmp_path / "out.mkv", codec="hevc", preset="ultrafast") == []
    assert describe(tmp_path / "out.mkv").of("video")[0].pix_fmt == "yuv420p12le"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_interlacing(tmp_path, suffix):
    source = make_clip(tmp_path / f"in{suffix}", interlaced=True, count=8)
    assert describe(source).of("video")[0].interlaced
    assert same(source, tmp_path / f"out{suffix}") == []
    orders = [probe(tmp_path / f"{n}{suffix}").video[0].video.field_order for n in ("in", "out")]
    assert orders[0] == orders[1] > 1
