"""A frame is painted on memory of its own: the decoder predicts later ones from what it holds."""

from __future__ import annotations

import av
import numpy as np
import pytest

from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.input.source import FileSource
from stream_anon.media.pixel_formats import LAYOUTS, plane_view
from tests.media.clips import make_clip


def _paste(frame):
    transform = np.array([[[128.0 / 40.0, 0.0, -30.0], [0.0, 128.0 / 40.0, -20.0]]])
    frame.paste(
        np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32), 255, np.uint8), transform, 128.0
    )


WAYS = {
    "paste": _paste,
    "pixelate": lambda frame: frame.pixelate(4),
    "blacken": lambda frame: frame.blacken(),
    "outline": lambda frame: frame.outline(np.array([5.0, 5.0, 60.0, 50.0])),
}


@pytest.fixture(scope="module", params=["libx264", "libx265"])
def clip(request, tmp_path_factory):
    """Every frame after the first is predicted from those before it."""
    folder = tmp_path_factory.mktemp("memory")
    return make_clip(folder / "clip.mkv", codec=request.param, count=10)


def planes(av_frame):
    layout = LAYOUTS[av_frame.format.name]
    return [plane_view(av_frame, layout, i).copy() for i in range(layout.planes)]


def frames(clip):
    with av.open(str(clip)) as container:
        # One thread: it decodes the next frame when it is asked for, not before.
        container.streams.video[0].thread_count = 1
        yield from container.decode(video=0)


@pytest.mark.parametrize("way", WAYS)
def test_painting_a_frame_changes_none_that_follow(clip, way):
    clean = [planes(av_frame) for av_frame in frames(clip)]
    painted = 0
    for av_frame, wanted in zip(frames(clip), clean, strict=True):
        for plane, want in zip(planes(av_frame), wanted, strict=True):
            np.testing.assert_array_equal(plane, want)
        frame = CpuFrame(av_frame)
        WAYS[way](frame)
        painted += any(
            (plane != want).any() for plane, want in zip(planes(frame.to_av()), wanted, strict=True)
        )
    assert painted == len(clean) == 10


def test_the_same_through_a_source(clip):
    with FileSource(clip) as source:
        clean = [frame.luma(1).copy() for frame in source.frames()]
    with FileSource(clip) as source:
        for frame, wanted in zip(source.frames(), clean, strict=True):
            np.testing.assert_array_equal(frame.luma(1), wanted)
            frame.blacken()


def test_only_one_copy_is_made(clip):
    frame = CpuFrame(next(frames(clip)))
    _paste(frame)
    first = frame._planes()[0]
    _paste(frame)
    assert np.shares_memory(first, frame._planes()[0])
