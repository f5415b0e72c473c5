"""Motion vectors against frames that are known to move."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_anon.media.input.source import FileSource


def pan(path: Path, codec: str, options: dict[str, str], dx: int, dy: int) -> Path:
    """A still scene that moves by (dx, dy) pixels a frame."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(
        rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=25, options=options, width=160, height=128, time_base=Fraction(1, 25)
        )
        for n in range(16):
            x, y = 240 - dx * n, 160 - dy * n
            view = np.ascontiguousarray(scene[y : y + 128, x : x + 160])
            image = av.VideoFrame.from_ndarray(view, format="rgb24").reformat(format="yuv420p")
            image.pts = n
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"preset": "veryfast", "bf": "0"}),
        ("libx264", {"preset": "veryfast", "x264-params": "bframes=2:b-adapt=0"}),
        ("mpeg4", {"g": "30"}),
    ],
)
@pytest.mark.parametrize(("dx", "dy"), [(4, 2), (-3, 1)])
def test_vectors_tell_how_far_things_moved_since_the_last_frame(tmp_path, codec, options, dx, dy):
    path = pan(tmp_path / "pan.mkv", codec, options, dx, dy)
    told = 0
    for frame in FileSource(path, motion=True).frames():
        vectors = frame.motion()
        if vectors is None or not len(vectors):
            continue
        told += 1
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == 5
        assert (vectors[:, 0] >= -16).all()
        assert (vectors[:, 0] <= 176).all()
        assert vectors[:, 4].sum() <= 160 * 128 * 1.1
        moved = np.median(np.repeat(vectors[:, 2:4], 1, axis=0), axis=0)
        assert moved == pytest.approx([dx, dy], abs=0.4)
    assert told >= 4


def test_no_vectors_unless_asked_for(tmp_path):
    path = pan(tmp_path / "pan.mkv", "libx264", {"preset": "veryfast"}, 4, 2)
    assert {p.motion() is None for p in FileSource(path).frames()} == {True}


def test_none_where_the_codec_has_none(tmp_path):
    path = pan(tmp_path / "pan.mkv", "libx265", {"x265-params": "log-level=none"}, 4, 2)
    assert {p.motion() is None for p in FileSource(path, motion=True).frames()} == {True}
