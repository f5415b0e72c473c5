"""Sound, subtitles, tags and metadata go in and come out again."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from stream_anon.media.compare import describe, differences
from tests.media.clips import make_clip
from tests.media.conftest import pass_through
from tests.media.output.test_round_trip import VFR, same


@pytest.mark.parametrize(
    ("suffix", "audio"),
    [
        (".mp4", ["aac", "aac", "mp3"]),
        (".mov", ["pcm_s16le", "aac"]),
        (".mkv", ["libopus", "aac", "pcm_s16le", "flac"]),
        (".avi", ["mp3", "pcm_s16le"]),
        (".ts", ["mp2", "ac3"]),
    ],
)
def test_every_sound_track_bit_for_bit(tmp_path, suffix, audio):
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    source = make_clip(tmp_path / f"in{suffix}", codec=codec, audio=audio, count=25)
    assert same(source, tmp_path / f"out{suffix}") == []
    facts = describe(tmp_path / f"out{suffix}").of("audio")
    assert len(facts) == len(audio)
    assert all(s.times for s in facts)


def test_sound_can_be_left_out(tmp_path):
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])
    plan = pass_through(source, tmp_path / "out.mp4", audio="drop")
    assert describe(tmp_path / "out.mp4").of("audio") == ()
    assert [s.action for s in plan.streams] == ["redact", "drop"]


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mov_text"), (".mkv", "subrip"), (".webm", "webvtt")]
)
def test_subtitles(tmp_path, suffix, codec):
    video = {"codec": "libvpx", "options": {"deadline": "realtime"}} if suffix == ".webm" else {}
    source = make_clip(tmp_path / f"in{suffix}", subtitles=codec, **video)
    preset = "8" if suffix == ".webm" else None
    assert same(source, tmp_path / f"out{suffix}", preset=preset) == []
    assert len(describe(tmp_path / f"out{suffix}").of("subtitle")[0].times) >= 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_chapters_and_languages(tmp_path, suffix):
    source = make_clip(
        tmp_path / f"in{suffix}",
        chapters=[(0, 0.4, "One"), (0.4, 0.8, "Two")],
        audio=["aac", "aac"],
        languages=["deu", "fra", "por"],
    )
    target = tmp_path / f"out{suffix}"
    assert same(source, target) == []
    facts = describe(target)
    assert [s.language for s in facts.streams[:3]] == ["deu", "fra", "por"]
    assert [c.title for c in facts.chapters] == ["Chapter 1", "Chapter 2"]
    assert "file: titles of chapters" in pass_through(source, target).dropped
    pass_through(source, target, keep_metadata=True)
    assert [c.title for c in describe(target).chapters] == ["One", "Two"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_several_video_streams(tmp_path, suffix):
    source = make_clip(tmp_path / f"in{suffix}", videos=3, audio=["aac"], count=10)
    assert same(source, tmp_path / f"out{suffix}") == []
    assert len(describe(tmp_path / f"out{suffix}").of("video")) == 3


def test_attached_picture_is_dropped_and_named(tmp_path):
    source = make_clip(tmp_path / "in.mp4", cover=True)
    assert len(describe(source).streams) == 2
    plan = pass_through(source, tmp_path / "out.mp4")
    assert [s.action for s in plan.streams] == ["redact", "drop"]
    assert "attached picture" in plan.streams[1].reason
    assert len(describe(tmp_path / "out.mp4").streams) == 1


def test_data_stream_is_dropped_and_named(tmp_path):
    source = make_clip(tmp_path / "in.ts", data=True)
    plan = pass_through(source, tmp_path / "out.ts")
    assert [s.action for s in plan.streams] == ["redact", "drop"]
    assert "place" in plan.streams[1].reason
    assert len(describe(tmp_path / "out.ts").streams) == 1
    assert b"klv of a place" not in (tmp_path / "out.ts").read_bytes()


TELLING = {
    "location": "+52.5-13.4/",
    "creation_time": "2024-05-06T07:08:09.000000Z",
    "title": "Aunt May",
    "com.apple.quicktime.model": "iPhone 99",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_metadata_that_tells_is_dropped_and_named(tmp_path, suffix):
    source = make_clip(
        tmp_path / f"in{suffix}",
        metadata=TELLING,
        stream_metadata={"creation_time": TELLING["creation_time"], "title": "Kitchen camera"},
        container_options={"movflags": "use_metadata_tags"} if suffix != ".mkv" else {},
    )
    target = tmp_path / f"out{suffix}"
    plan = pass_through(source, target)
    with av.open(str(target)) as container:
        kept = {k.lower() for k in container.metadata} | {
            k.lower() for k in container.streams[0].metadata
        }
    assert not kept & {k.lower() for k in TELLING}
    data = target.read_bytes()
    assert not [
        value for value in (b"52.5-13.4", b"Aunt May", b"iPhone", b"Kitchen") if value in data
    ]
    named = " ".join(plan.dropped).lower()
    assert all(key in named for key in ("location", "creation_time", "title"))
    assert not any(value in named for value in ("aunt", "52.5"))


def test_metadata_is_kept_when_asked(tmp_path):
    source = make_clip(tmp_path / "in.mp4", metadata=TELLING)
    plan = pass_through(source, tmp_path / "out.mp4", keep_metadata=True)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "Aunt May"
        assert container.metadata["creation_time"].startswith("2024-05-06")
    assert not [name for name in plan.dropped if "title" in name]


def test_user_data_in_the_frame_stream_does_not_travel(tmp_path):
    source = make_clip(tmp_path / "in.mkv")
    secret = b"x264 - core"
    assert secret in source.read_bytes()
    pass_through(source, tmp_path / "out.mkv", codec="vp9", preset="8")
    assert secret not in (tmp_path / "out.mkv").read_bytes()


def test_mp4_can_be_played_while_it_loads(tmp_path):
    source = make_clip(tmp_path / "in.mp4", count=10)
    pass_through(source, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_gif_in_and_gif_out(tmp_path):
    source = make_clip(
        tmp_path / "in.gif",
        codec="gif",
        pix_fmt="rgb8",
        size=(61, 47),
        time_base=Fraction(1, 100),
        pts=[0, 8, 17, 25, 40, 50],
        count=6,
    )
    assert same(source, tmp_path / "out.gif") == []
    assert same(source, tmp_path / "out.mp4") == []


def test_the_last_frame_is_shown_as_long_as_before(tmp_path):
    source = make_clip(tmp_path / "in.mp4", pts=VFR, time_base=Fraction(1, 1000))
    pass_through(source, tmp_path / "out.mp4")
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        assert a.duration == b.duration


@pytest.mark.parametrize("target", [".mkv", ".ts", ".flv", ".avi", ".mov"])
@pytest.mark.parametrize("source", [".mp4", ".mkv"])
def test_another_container_keeps_the_times_of_frames_and_the_sync(tmp_path, source, target):
    path = make_clip(tmp_path / f"in{source}", audio=["aac"], count=30)
    plan = pass_through(path, tmp_path / f"out{target}")
    before, after = describe(path), describe(tmp_path / f"out{target}")
    assert after.of("video")[0].times == before.of("video")[0].times
    # Only the lead-in that nobody hears may be gone.
    old, new = before.of("audio")[0].times, after.of("audio")[0].times
    gone = len(old) - len(new)
    assert gone == 0 or (gone == 1 and "from time 0 on" in plan.streams[1].reason)
    for a, b in zip(old[gone:], new, strict=True):
        # A decoder of AVI counts sound by bytes, others to the unit of the container.
        assert abs(float(a - b)) <= (0.05 if target == ".avi" else 0.001)


def test_what_a_coarser_container_does_to_times_is_told(tmp_path):
    path = make_clip(
        tmp_path / "in.mp4", pts=[0, 1001, 2002, 3003], time_base=Fraction(1, 30000), count=4
    )
    assert pass_through(path, tmp_path / "out.mp4").notes == ()
    notes = pass_through(path, tmp_path / "out.mkv").notes
    assert notes == ("stream 0: matroska stores times in units of 1/1000 s",)
    notes = pass_through(path, tmp_path / "out.h264").notes
    assert notes[0].startswith("stream 0: h264 stores no times: ")
    assert differences(describe(path), describe(tmp_path / "out.mkv")) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_begins_at_zero_and_takes_its_chapters_along(tmp_path, suffix):
    path = make_clip(
        tmp_path / f"in{suffix}",
        audio=["aac"],
        count=75,
        chapters=[(0, 1, "One"), (1, 2, "Two"), (2, 3, "Three")],
    )
    pass_through(path, tmp_path / f"out{suffix}", start=0.8, end=1.8)
    facts = describe(tmp_path / f"out{suffix}")
    times = facts.of("video")[0].times
    assert times == tuple(Fraction(n, 25) for n in range(25))
    sound = [t for t in facts.of("audio")[0].times if t is not None]
    assert -0.03 < sound[0] < 0.03
    assert sound[-1] < 1.0
    assert [(float(c.start), float(c.end)) for c in facts.chapters] == [(0.0, 0.2), (0.2, 1.0)]
