"""What every analyzer keeps, and what is special to each."""

from __future__ import annotations

import pytest

from stream_anon.config import Config
from stream_anon.errors import TracksError
from stream_anon.media.input.source import FileSource
from stream_anon.pipeline.analysis import DetectAndTrack, ReadTracks
from stream_anon.pipeline.analyze import analyze_file
from stream_anon.regions import FARTHEST
from stream_anon.tracks.origin import Fingerprint
from stream_anon.tracks.reader import TracksFile
from tests.attacks.scene import FRAMES, Scripted, quick, write_clip
from tests.media.clips import make_clip


def detecting(clip, info, tmp_path):
    return DetectAndTrack(Scripted(), quick())


def reading(clip, info, tmp_path):
    made = lambda config: DetectAndTrack(Scripted(), config)  # noqa: E731
    analyze_file(clip, tmp_path / "t.jsonl", quick(), analyzer_of=made)
    return ReadTracks(TracksFile(tmp_path / "t.jsonl"), Fingerprint.of(clip))


@pytest.fixture(params=[detecting, reading])
def analyzer_of(request):
    return request.param


def everything(analyzer, source):
    """All that comes out, and how many frames had gone in when it came."""
    out, count = [], 0
    for frame in source.frames():
        count += 1
        out += [(count, one) for one in analyzer.push(frame)]
    out += [(count, one) for one in analyzer.flush()]
    analyzer.close()
    analyzer.close()
    return out


@pytest.mark.parametrize("videos", [1, 2])
def test_every_frame_comes_back_once_in_order_with_its_own_regions(tmp_path, analyzer_of, videos):
    clip = make_clip(tmp_path / "clip.mkv", size=(320, 240), videos=videos, count=30)
    with FileSource(clip, copied=()) as source:
        analyzer = analyzer_of(clip, source.info, tmp_path)
        out = everything(analyzer, source)
    assert len(out) == 30 * videos
    for stream in {one.frame.stream for _, one in out}:
        own = [one for _, one in out if one.frame.stream == stream]
        assert [one.frame.index for one in own] == list(range(30))
        assert all(one.regions.key == one.frame.key for one in own)
        assert all(one.regions.unknown is None for one in own)
        assert all(one.regions.items for one in own)
        ended = [track for one in own for track in one.regions.ended]
        assert len(set(ended)) == len(ended)
        assert set(ended) == {item.track for one in own for item in one.regions.items}
    tracks = [{item.track for item in one.regions.items} for _, one in out]
    streams = [one.frame.stream for _, one in out]
    assert len({(t, s) for ts, s in zip(tracks, streams, strict=True) for t in ts}) == len(
        {t for ts in tracks for t in ts}
    ), "a track belongs to one stream"


def test_a_file_holds_no_frame_back(tmp_path):
    clip = write_clip(tmp_path / "scene.mp4")
    with FileSource(clip, copied=()) as source:
        out = everything(reading(clip, source.info, tmp_path), source)
    assert [waited - 1 for waited, _ in out] == [one.frame.index for _, one in out]
    assert len(out) == FRAMES


def test_a_place_that_a_tracker_cannot_mean_is_unknown_or_ends_the_run(tmp_path):
    clip = write_clip(tmp_path / "scene.mp4", 3)

    def far(index, faces):
        return [type(faces[0])(faces[0].box + 2 * FARTHEST, None, 0.9)]

    config = quick(**{"fault.policy": "step-down"})
    with FileSource(clip, copied=()) as source:
        analyzer = DetectAndTrack(Scripted(far), config)
        out = everything(analyzer, source)
    # Outside of the frame it is nobody's place: the tracker drops it, or it is not known.
    assert all(not one.regions.items for _, one in out)


def test_a_file_of_another_video_is_refused(tmp_path):
    clip = write_clip(tmp_path / "scene.mp4", 5)
    other = write_clip(tmp_path / "other.mp4", 6)
    with FileSource(clip, copied=()) as source:
        reading(clip, source.info, tmp_path).close()
    with TracksFile(tmp_path / "t.jsonl") as tracks, pytest.raises(TracksError):
        ReadTracks(tracks, Fingerprint.of(other))


@pytest.mark.parametrize(("rotation", "upright_turns"), [(None, 0), (90, 1), (180, 2), (-90, 3)])
def test_quarter_turns(tmp_path, rotation, upright_turns):
    clip = make_clip(tmp_path / "clip.mp4", rotation=rotation, count=2)
    with FileSource(clip) as source:
        assert {frame.quarter_turns for frame in source.frames()} == {upright_turns}
    assert Config().fault.policy == "stop"
