"""The judge judged: what is open is called open, what is covered is not, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from stream_anon.config import DetectorConfig
from stream_anon.detection.registry import make_detector
from stream_anon.detection.suppression import overlaps
from stream_anon.errors import InputError
from tests.torture import clips
from tests.torture.film import Clip, decoded
from tests.torture.images import BACKDROPS, PORTRAITS, Pixels, backdrop, some_head
from tests.torture.judge import MAGENTA, compare, configuration, judge
from tests.torture.run import Still, not_found
from tests.torture.scene import Canvas, TrueFace

Paint = Callable[[Pixels, TrueFace], None]


@pytest.fixture
def clip(film: Callable[..., Clip]) -> Clip:
    return film("swap_places", 3)


def redone(clip: Clip, target: Path, paint: Paint | None, drop: int = 0) -> Path:
    """The clip with its true faces painted by the test, encoded as the tool does."""
    frames = list(decoded(clip.path))
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=25, options={"preset": "veryfast", "crf": "18"},
            width=frames[0].shape[1], height=frames[0].shape[0], pix_fmt="yuv420p",
        )
        stream.codec_context.colorspace = 6
        for pixels, faces in zip(frames[drop:], clip.truth[drop:], strict=True):
            for face in faces if paint else ():
                paint(pixels, face)
            planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        container.mux(stream.encode(None))
    return target


def part(
    x: tuple[float, float] = (0, 1), y: tuple[float, float] = (0, 1), dx: float = 0.0
) -> Paint:
    """Paints a part of each box, given as shares of its sides."""

    def paint(pixels: Pixels, face: TrueFace) -> None:
        x0, y0, x1, y1 = face.box
        wide, high = x1 - x0, y1 - y0
        a, b = (max(0, round(x0 + (share + dx) * wide)) for share in x)
        c, d = (max(0, round(y0 + share * high)) for share in y)
        pixels[c:d, a:b] = MAGENTA

    return paint


def soften(sigma: float) -> Paint:
    def paint(pixels: Pixels, face: TrueFace) -> None:
        x0, y0, x1, y1 = (max(0, round(v)) for v in face.box)
        pixels[y0:y1, x0:x1] = cv2.GaussianBlur(pixels[y0:y1, x0:x1], (0, 0), sigma)

    return paint


@pytest.mark.parametrize("method", ["fill", "pixelate"])
def test_a_bare_transcode_shows_everybody(clip: Clip, method: str, tmp_path: Path) -> None:
    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", None), method)
    assert verdict.faces == clip.faces > 50
    assert len(verdict.shown) == verdict.faces
    assert not verdict.obscured


@pytest.mark.parametrize("method", ["fill", "pixelate"])
def test_painted_boxes_show_nobody(clip: Clip, method: str, tmp_path: Path) -> None:
    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", part()), method)
    assert not verdict.shown, str(verdict)
    assert verdict.spill < 0.01


@pytest.mark.parametrize(
    "paint",
    [
        part(x=(0, 0.5)), part(x=(0.5, 1)), part(y=(0, 0.5)), part(y=(0.5, 1)), part(dx=0.4),
        part(y=(0.35, 1)), part(x=(0.4, 1)),
    ],
    ids=["left", "right", "upper", "lower", "beside", "eyes out", "cheek out"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["fill", "pixelate"])
def test_half_a_cover_is_none(clip: Clip, method: str, paint: Paint, tmp_path: Path) -> None:
    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", paint), method)
    assert len(verdict.shown) == verdict.faces


def test_a_blur_that_leaves_the_face_is_no_cover(clip: Clip, tmp_path: Path) -> None:
    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", soften(1.0)), "blur")
    assert len(verdict.shown) > 0.9 * verdict.faces


def test_a_face_that_is_open_in_one_frame_is_found(clip: Clip, tmp_path: Path) -> None:
    left = [k for k, faces in enumerate(clip.truth) if faces][10]
    spared = clip.truth[left][0]

    def paint(pixels: Pixels, face: TrueFace) -> None:
        if face is not spared:
            part()(pixels, face)

    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", paint), "fill")
    assert [(one.frame, one.face) for one in verdict.shown] == [(left, spared)]


def test_a_frame_that_is_pixelated_whole_shows_nobody(clip: Clip, tmp_path: Path) -> None:
    def paint(pixels: Pixels, face: TrueFace) -> None:
        small = cv2.resize(pixels, (24, 14), interpolation=cv2.INTER_AREA)
        size = (pixels.shape[1], pixels.shape[0])
        pixels[:] = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)

    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", paint), "fill")
    assert not verdict.shown
    assert verdict.obscured == sum(bool(faces) for faces in clip.truth)


def test_a_missing_frame_is_reported(clip: Clip, tmp_path: Path) -> None:
    verdict = compare(clip, redone(clip, tmp_path / "o.mp4", part(), drop=1), "fill")
    assert "frames came out" in verdict.broken


def test_a_refusal_is_told_apart(clip: Clip, tmp_path: Path) -> None:
    def refuse(source: Path, target: Path, **rest: Any) -> None:
        raise InputError("it is damaged")

    verdict = judge(clip, configuration(), tmp_path, refuse)
    assert verdict.refused == "InputError: it is damaged"
    assert not verdict.shown


def test_the_same_seed_is_the_same_clip(tmp_path: Path) -> None:
    for kind in ("times_saw", "first_frames"):
        one, same, other = (
            clips.clip(kind, seed, tmp_path / str(k)) for k, seed in enumerate((5, 5, 6))
        )
        assert one.path.read_bytes() == same.path.read_bytes()
        assert [[f.box for f in t] for t in one.truth] == [[f.box for f in t] for t in same.truth]
        assert one.path.read_bytes() != other.path.read_bytes()


@pytest.mark.parametrize("kind", ["times_saw", "times_missing", "times_wrap", "times_jump"])
def test_times_are_wrong_as_intended(kind: str, film: Callable[..., Clip]) -> None:
    with av.open(str(film(kind, 0).path)) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    if kind == "times_missing":
        assert times.count(None) > len(times) / 2
        return
    steps = np.diff(times)
    if kind == "times_saw":
        assert (steps < 0).sum() >= 3
    if kind == "times_wrap":
        assert min(times) < 0 < max(times) or (steps < 0).any()
    if kind == "times_jump":
        assert steps.max() > 1000 * np.median(steps)


@pytest.mark.parametrize("portrait", range(len(PORTRAITS)), ids=[p.image for p in PORTRAITS])
def test_heads_are_found_by_themselves(portrait: int) -> None:
    """Whoever is missed in a clip is missed for want of a look, not since nobody would see it."""
    rng = np.random.default_rng(portrait)
    detector = make_detector(DetectorConfig(threads=1))
    for name in BACKDROPS:
        for size in (40.0, 60.0, 90.0, 150.0):
            canvas = Canvas(backdrop(rng, 640, 360, name))
            canvas.head(some_head(rng, portrait), 320, 180, size)
            (face,) = canvas.to_av().faces
            found = detector.detect(Still(canvas.pixels))
            near = overlaps(np.array([f.box for f in found]), np.array([face.box]))[:, 0]
            assert near.max() > 0.5
            assert found[int(near.argmax())].score > 0.5


@pytest.mark.parametrize("name", BACKDROPS)
def test_backgrounds_hold_nobody(name: str) -> None:
    rng = np.random.default_rng(7)
    detector = make_detector(DetectorConfig(threads=1))
    scores = [f.score for _ in range(5)
              for f in detector.detect(Still(backdrop(rng, 640, 360, name)))]
    assert max(scores, default=0.0) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", clips.KINDS)
@pytest.mark.parametrize("seed", [0, 10, 11])
def test_the_detector_finds_who_is_there(kind: str, seed: int, film: Callable[..., Clip]) -> None:
    """Shown every frame by itself, at its default threshold: clips are hard to follow, not to
    see."""
    missed = not_found(film(kind, seed), make_detector(DetectorConfig(threads=1)))
    assert not missed
