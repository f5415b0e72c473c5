"""A picture is painted on memory of its own: the decoder predicts later ones from what it holds."""

from __future__ import annotations

import av
import numpy as np
import pytest

from stream_anon.video.planes import LAYOUTS, plane_view
from stream_anon.video.source import FileSource
from stream_anon.video.yuv_picture import YuvPicture
from tests.video.clips import make_clip


def _paste(picture):
    transform = np.array([[[128.0 / 40.0, 0.0, -30.0], [0.0, 128.0 / 40.0, -20.0]]])
    picture.paste(
        np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32), 255, np.uint8), transform, 128.0
    )


WAYS = {
    "paste": _paste,
    "pixelate": lambda picture: picture.pixelate(4),
    "blacken": lambda picture: picture.blacken(),
    "outline": lambda picture: picture.outline(np.array([5.0, 5.0, 60.0, 50.0])),
}


@pytest.fixture(scope="module", params=["libx264", "libx265"])
def clip(request, tmp_path_factory):
    """Every picture after the first is predicted from those before it."""
    folder = tmp_path_factory.mktemp("memory")
    return make_clip(folder / "clip.mkv", codec=request.param, count=10)


def planes(frame):
    layout = LAYOUTS[frame.format.name]
    return [plane_view(frame, layout, i).copy() for i in range(layout.planes)]


def frames(clip):
    with av.open(str(clip)) as container:
        # One thread: it decodes the next picture when it is asked for, not before.
        container.streams.video[0].thread_count = 1
        yield from container.decode(video=0)


@pytest.mark.parametrize("way", WAYS)
def test_painting_a_picture_changes_none_that_follow(clip, way):
    clean = [planes(frame) for frame in frames(clip)]
    painted = 0
    for frame, wanted in zip(frames(clip), clean, strict=True):
        for plane, want in zip(planes(frame), wanted, strict=True):
            np.testing.assert_array_equal(plane, want)
        picture = YuvPicture(frame)
        WAYS[way](picture)
        painted += any(
            (plane != want).any()
            for plane, want in zip(planes(picture.frame()), wanted, strict=True)
        )
    assert painted == len(clean) == 10


def test_the_same_through_a_source(clip):
    with FileSource(clip) as source:
        clean = [picture.luma(1).copy() for picture in source.pictures()]
    with FileSource(clip) as source:
        for picture, wanted in zip(source.pictures(), clean, strict=True):
            np.testing.assert_array_equal(picture.luma(1), wanted)
            picture.blacken()


def test_only_one_copy_is_made(clip):
    picture = YuvPicture(next(frames(clip)))
    _paste(picture)
    first = picture._planes()[0]
    _paste(picture)
    assert np.shares_memory(first, picture._planes()[0])
