"""``redact`` is ``analyze`` and ``render`` in one pass: the same frames, sample for sample."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import av
import numpy as np
import pytest

import stream_anon
from stream_anon.config import Config, override
from stream_anon.errors import AnalysisFault, InputError, OutputError, TracksError, UsageError
from stream_anon.media.input.probe import probe
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.formats import default_suffix
from stream_anon.media.output.sink import FileSink
from stream_anon.methods import make_method
from stream_anon.pipeline.analysis import DetectAndTrack, make_analyzer
from stream_anon.pipeline.analyze import analyze_file
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import other_methods
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import Pipeline
from stream_anon.tracks.reader import TracksFile
from tests.attacks.scene import FRAMES, Scripted, face_at, leaks, quick, write_clip
from tests.fakes import encode_the_same_twice
from tests.media.clips import make_clip
from tests.tracks.tools import forge


def seldom(index, faces):
    """A detector that misses: the tracker bridges, looks back and holds."""
    return faces if index % 5 == 3 and index < 25 else []


def crowd(index, faces):
    """Two faces that come near each other; the second has no landmarks."""
    face = face_at(index)
    other = face_at((index * 2 + 30) % 40)
    return [face, type(face)(other.box + 0.125, None, 0.55)]


def scripted(wrong=None):
    return lambda config: DetectAndTrack(Scripted(wrong), config)


@pytest.fixture(autouse=True)
def same_twice(monkeypatch):
    encode_the_same_twice(monkeypatch)


def analyze(clip, tracks, config, wrong=None, **rest):
    return analyze_file(clip, tracks, config, analyzer_of=scripted(wrong), **rest)


def paint(clip, output, config, *, tracks=None, wrong=None):
    """One run; from the Tracks file where there is one."""
    plan = make_plan(clip, output, config, tracks=tracks)
    config = plan.request.config
    source = FileSource(
        clip,
        start=config.video.start,
        end=config.video.end,
        copied=plan.media.copied,
        tolerant=config.fault.policy == "step-down",
    )
    if tracks is None:
        analyzer = scripted(wrong)(config)
    else:
        analyzer = make_analyzer(plan)
    others = other_methods(config.method, analyzer.methods)
    compositor = Compositor(make_method(config.method), config.fault, others=others)
    sink = FileSink(output, plan.media, source.info, config.video)
    return Pipeline(plan, source, analyzer, compositor, sink).run()


def samples(path):
    """Stream, time and samples of every frame of every video stream."""
    with av.open(str(path)) as container:
        streams = len(container.streams.video)
    for stream in range(streams):
        # Opened anew for each: an elementary stream cannot be wound back.
        with av.open(str(path)) as container:
            for frame in container.decode(video=stream):
                yield stream, frame.pts, frame.to_ndarray()


def same(one, other):
    """How many frames both have, all of them alike."""
    count = 0
    for left, right in zip(samples(one), samples(other), strict=True):
        assert left[:2] == right[:2]
        assert np.array_equal(left[2], right[2]), f"stream {left[0]}, frame at {left[1]}"
        count += 1
    return count


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "scene.mp4")


@pytest.mark.parametrize("wrong", [None, seldom, crowd], ids=["always", "seldom", "crowd"])
@pytest.mark.parametrize("method", ["pixelate", "blur", "fill"])
def test_two_passes_give_the_frames_of_one(clip, tmp_path, method, wrong):
    config = quick(**{"method.name": method})
    report = paint(clip, tmp_path / "once.mp4", config, wrong=wrong)
    analysis = analyze(clip, tmp_path / "t.jsonl", config, wrong)
    rendered = paint(clip, tmp_path / "twice.mp4", config, tracks=tmp_path / "t.jsonl")
    assert same(tmp_path / "once.mp4", tmp_path / "twice.mp4") == FRAMES
    assert report.frames_out == rendered.frames_out == analysis.frames == FRAMES
    assert report.tracks == rendered.tracks
    assert report.frames.with_faces == rendered.frames.with_faces
    assert analysis.tracks == len(report.tracks) > 0
    assert rendered.frames.detections_run == 0 < report.frames.detections_run


CLIPS = {
    "variable rate": {"pts": [0, 3, 4, 9, 11, 12, 20, 21, 22, 30], "count": 10},
    "rotated": {"rotation": 90, "count": 10},
    "ten bits": {"pix_fmt": "yuv420p10le", "codec": "libx265", "count": 8},
    "two streams": {"videos": 2, "count": 10},
    "B-frames": {"options": {"bf": "3", "preset": "fast"}, "count": 24},
}


@pytest.mark.parametrize("name", CLIPS)
def test_two_passes_give_the_frames_of_one_on_other_clips(tmp_path, name):
    suffix = ".mkv" if name == "two streams" else ".mp4"
    clip = make_clip(tmp_path / f"clip{suffix}", size=(320, 240), **CLIPS[name])
    config = quick(**{"method.name": "pixelate"})
    once, twice, tracks = (tmp_path / n for n in (f"1{suffix}", f"2{suffix}", "t.jsonl"))
    paint(clip, once, config, wrong=crowd)
    analyze(clip, tracks, config, crowd)
    paint(clip, twice, config, tracks=tracks)
    assert same(once, twice) == CLIPS[name]["count"] * CLIPS[name].get("videos", 1)


def test_a_part_of_a_clip_is_rendered_as_it_was_analysed(clip, tmp_path):
    config = quick(**{"method.name": "fill", "video.start": 0.4, "video.end": 1.0})
    once, twice, tracks = (tmp_path / n for n in ("1.mp4", "2.mp4", "t.jsonl"))
    paint(clip, once, config)
    assert analyze(clip, tracks, config).frames == 15
    paint(clip, twice, quick(**{"method.name": "fill"}), tracks=tracks)
    assert same(once, twice) == 15
    with pytest.raises(UsageError, match="start 0.4"):
        make_plan(clip, twice, quick(**{"video.start": 0.2}), tracks=tracks)


def test_frames_that_could_not_be_analysed_are_covered_whole_in_both(clip, tmp_path):
    def fails(index, faces):
        if 8 <= index < 14:
            raise RuntimeError("out of memory")
        return faces

    config = quick(**{"fault.policy": "step-down", "method.name": "fill"})
    report = paint(clip, tmp_path / "1.mp4", config, wrong=fails)
    analysis = analyze(clip, tmp_path / "t.jsonl", config, fails)
    assert 6 <= analysis.unknown < FRAMES
    rendered = paint(clip, tmp_path / "2.mp4", config, tracks=tmp_path / "t.jsonl")
    assert same(tmp_path / "1.mp4", tmp_path / "2.mp4") == FRAMES
    assert report.frames.stepped_down == rendered.frames.stepped_down
    assert report.frames.stepped_down == {"pixelated": analysis.unknown}
    assert report.frames.reasons == rendered.frames.reasons
    with pytest.raises(AnalysisFault, match="out of memory"):
        paint(clip, tmp_path / "3.mp4", quick(), tracks=tmp_path / "t.jsonl")
    assert not (tmp_path / "3.mp4").exists()


def test_an_analysis_that_fails_leaves_no_file(clip, tmp_path):
    def fails(index, faces):
        raise RuntimeError("out of memory")

    with pytest.raises(stream_anon.DetectorFault):
        analyze(clip, tmp_path / "t.jsonl", quick(), fails)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.mp4"]


def test_the_file_is_its_owners_alone_and_is_not_replaced_by_chance(clip, tmp_path):
    tracks = tmp_path / "t.jsonl"
    before = os.umask(0)
    try:
        analyze(clip, tracks, quick())
    finally:
        os.umask(before)
    assert stat.S_IMODE(tracks.stat().st_mode) == 0o600
    raw = tracks.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        analyze(clip, tracks, quick())
    assert tracks.read_bytes() == raw
    analyze(clip, tracks, quick(), overwrite=True)
    with pytest.raises(UsageError, match="is the input"):
        analyze(clip, clip, quick(), overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        analyze(clip, tmp_path / "none" / "t.jsonl", quick())
    with pytest.raises(InputError, match="no such file"):
        analyze(tmp_path / "none.mp4", tracks, quick())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.mp4", "t.jsonl"]


def test_the_report_names_the_file_by_its_hash_and_holds_no_place(clip, tmp_path):
    tracks = tmp_path / "t.jsonl"
    analyze(clip, tracks, quick())
    report = paint(clip, tmp_path / "out.mp4", quick(**{"method.name": "fill"}), tracks=tracks)
    with TracksFile(tracks) as file:
        assert report.analysis.tracks_sha256 == file.sha256
        box = file.raw("0", 10).items[0].box
    text = report.to_json()
    assert not [number for number in box if repr(number) in text]
    assert str(tmp_path) not in text
    # What analysed is named in the Tracks file; here, what looked again alone.
    assert [model.name for model in report.models] == [report.verification.detector]


def test_a_video_that_is_replaced_during_the_run_is_noticed(clip, tmp_path, monkeypatch):
    tracks = tmp_path / "t.jsonl"

    def replaced(index, faces):
        if index == 20:
            shutil.copy(clip, tmp_path / "new.mp4")
            os.replace(tmp_path / "new.mp4", clip)
        return faces

    with pytest.raises(InputError, match="changed"):
        analyze(clip, tracks, quick(), replaced)
    assert not tracks.exists()


def test_another_video_is_refused(clip, tmp_path):
    tracks = tmp_path / "t.jsonl"
    analyze(clip, tracks, quick())
    other = write_clip(tmp_path / "other.mp4", FRAMES - 1)
    with pytest.raises(TracksError, match="made from another file"):
        paint(other, tmp_path / "out.mp4", quick(), tracks=tracks)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("policy", ["stop", "step-down"])
@pytest.mark.parametrize("lie", ["a frame less", "other times", "another size", "another stream"])
def test_a_forged_file_without_the_right_line_for_a_frame_fails_closed(
    clip, tmp_path, lie, policy
):
    def change(lines):
        if lie == "a frame less":
            del lines[-2]
        elif lie == "other times":
            for line in lines[12:-1]:
                line["pts"] += 1
        elif lie == "another size":
            lines[0]["streams"][0]["width"] = 640
        else:
            lines[0]["streams"][0]["stream"] = "7"
            for line in lines[1:-1]:
                line["stream"] = "7"

    tracks = tmp_path / "t.jsonl"
    config = quick(**{"fault.policy": policy, "method.name": "fill"})
    analyze(clip, tracks, config)
    forge(tracks, change)
    if policy == "stop":
        with pytest.raises(AnalysisFault):
            paint(clip, tmp_path / "out.mp4", config, tracks=tracks)
        assert not (tmp_path / "out.mp4").exists()
        return
    report = paint(clip, tmp_path / "out.mp4", config, tracks=tracks)
    tracks.unlink()
    assert leaks(tmp_path, clip) == []
    unknown = {"a frame less": 1, "other times": FRAMES - 11}.get(lie, FRAMES)
    assert report.frames.stepped_down == {"pixelated": unknown}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["carphone.mp4", "two_heads.gif"])
def test_real_clips(shared: Path, tmp_path: Path, name: str):
    real(shared / "media" / name, tmp_path, ("pixelate", "blur", "fill"))


REST = sorted(
    path.name
    for path in (Path(__file__).resolve().parents[3] / "shared" / "media").glob("*.*")
    if path.suffix not in (".md", ".json")
)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", REST or ["none"])
def test_every_real_clip(shared: Path, tmp_path: Path, name: str):
    real(shared / "media" / name, tmp_path, ("pixelate",))


def real(clip: Path, folder: Path, methods: tuple[str, ...]) -> None:
    """Both ways with the real detector, and methods that draw nothing at random."""
    suffix = default_suffix(probe(clip))[0]
    config = override(Config(), **{"video.encoder_preset": "ultrafast"})
    if suffix not in (".mp4", ".mkv"):
        config = Config()
    tracks = folder / "t.jsonl"
    stream_anon.analyze(clip, tracks, config=config)
    for method in methods:
        once, twice = folder / f"{method}-1{suffix}", folder / f"{method}-2{suffix}"
        report = stream_anon.redact(clip, once, config=config, method=method)
        rendered = stream_anon.render(clip, tracks, twice, config=config, method=method)
        assert same(once, twice) == report.frames_out
        assert report.tracks == rendered.tracks
