"""Whole runs over generated footage whose faces are known: each is covered, none is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_anon.config import Config
from stream_anon.detection.types import Face
from stream_anon.errors import GateError
from stream_anon.geometry import MASK_CENTRE, MASK_SEMI_AXES, TEMPLATE
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.methods import Fill, Pixelate
from stream_anon.methods.base import Method, Rendered
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import Pipeline
from tests.attacks.scene import Scripted, quick

SIDE, RATE, FRAMES = 64, 25, 10


@dataclass(frozen=True)
class Crowd:
    """Faces on a grid that sways; each frame square is ``SIDE`` pixels wide."""

    across: int
    down: int
    quarter_turns: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of an upright frame."""
        return SIDE * self.across + 64, SIDE * self.down + 48

    def corners(self, index: int) -> np.ndarray:
        x, y = np.meshgrid(np.arange(self.across), np.arange(self.down))
        start = np.stack([x.ravel(), y.ravel()], axis=1) * float(SIDE)
        return start + np.array([16.0 + 1.5 * (index % 12), 12.0 + index % 8])

    def faces(self, index: int) -> list[Face]:
        scale = SIDE / 128.0
        return [
            Face(
                np.array([x + 22 * scale, y + 14 * scale, x + 106 * scale, y + 126 * scale]),
                TEMPLATE * scale + (x, y),
                0.95,
            )
            for x, y in self.corners(index)
        ]

    def upright(self, index: int) -> np.ndarray:
        """(h, w, 3) RGB: a checkerboard of its own in every face."""
        wide, high = self.size
        frame = np.full((high, wide, 3), 110, np.uint8)
        for number, (x, y) in enumerate(self.corners(index)):
            rng = np.random.default_rng(number)
            cells = rng.integers(0, 2, (8, 8), dtype=np.uint8) * 200 + 20
            patch = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
            x0, y0 = round(x), round(y)
            frame[y0 : y0 + SIDE, x0 : x0 + SIDE] = patch[..., None]
        return frame

    def write(self, path: Path, frames: int = FRAMES) -> Path:
        """As a camera stores it: on its side where ``quarter_turns`` is not 0, with a mark that
        says so."""
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
            for index in range(frames):
                stored = np.ascontiguousarray(np.rot90(self.upright(index), -self.quarter_turns))
                if index == 0:
                    stream.height, stream.width = stored.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    if self.quarter_turns:
                        stream.set_display_rotation(90 * self.quarter_turns)
                frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    def shown(self, path: Path) -> list[tuple[int, int]]:
        """Frame and number of every face of which the pattern can be made out."""
        found = []
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                after = np.rot90(frame.to_ndarray(format="rgb24"), self.quarter_turns)
                before = self.upright(index)
                for number, corner in enumerate(self.corners(index)):
                    if self._seen(before, after, corner):
                        found.append((index, number))
        return found

    def _seen(self, before: np.ndarray, after: np.ndarray, corner: np.ndarray) -> bool:
        """A quarter of the mask's ellipse is as it was, or shows the pattern weakly."""
        x0, y0 = (round(value) for value in corner)
        before, after = (p[y0 : y0 + SIDE, x0 : x0 + SIDE].astype(float) for p in (before, after))
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        scale = SIDE / 128.0
        centre, axes = np.array(MASK_CENTRE) * scale, np.array(MASK_SEMI_AXES) * scale * 0.94
        inside = ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 <= 1
        kept = np.abs(before - after).mean(axis=2)[inside] < 12
        a, b = before[inside].mean(axis=1), after[inside].mean(axis=1)
        a, b = a - a.mean(), b - b.mean()
        likeness = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
        return bool(kept.mean() > 0.12 or (likeness > 0.75 and b.std() > 0.3 * a.std()))


class Knows(Scripted):
    """Says where everybody is in upright frames, if it is told which way up they are."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd
        self.quarter_turns: set[int] = set()

    def detect(self, view, quarter_turns=0):
        self.quarter_turns.add(quarter_turns % 4)
        if quarter_turns % 4 != self._crowd.quarter_turns % 4:
            return []
        return [self._stored(face) for face in self._crowd.faces(view.index)]

    def _stored(self, face: Face) -> Face:
        """Boxes and points in the frame as it is stored."""
        high = self._crowd.size[1]
        box, points = face.box, face.landmarks
        for _ in range(self._crowd.quarter_turns):
            # numpy.rot90 by -1 moves (x, y) to (h - y, x), h the height before it.
            box = np.array([high - box[3], box[0], high - box[1], box[2]])
            points = np.stack([high - points[:, 1], points[:, 0]], axis=1)
            high = self._crowd.size[0] if high == self._crowd.size[1] else self._crowd.size[1]
        return Face(box, points, face.score)


class Counts(Pixelate):
    """Notes when it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def pipeline(clip: Path, target: Path, detector, method: Method, config: Config, source=None):
    plan = make_plan(clip, target, config)
    source = source or FileSource(clip, copied=plan.media.copied)
    sink = FileSink(target, plan.media, source.info, config.video)
    return Pipeline(plan, source, detector, Compositor(method, config.fault), sink)


def test_the_judge_sees_every_face_of_an_open_clip(tmp_path):
    crowd = Crowd(4, 3)
    clip = crowd.write(tmp_path / "a.mp4", 3)
    assert len(crowd.shown(clip)) == 3 * 12


@pytest.mark.parametrize("method", [Fill, Pixelate], ids=["fill", "pixelate"])
@pytest.mark.parametrize(("across", "down"), [(3, 2), (8, 5)])
def test_everybody_in_a_crowd_is_covered(tmp_path, method, across, down):
    crowd = Crowd(across, down)
    clip = crowd.write(tmp_path / "a.mp4")
    chosen = method() if method is Fill else method(4)
    report = pipeline(clip, tmp_path / "out.mp4", Knows(crowd), chosen, quick()).run()
    assert crowd.shown(tmp_path / "out.mp4") == []
    assert sum(track.frames for track in report.tracks) == FRAMES * across * down
    assert report.frames_with_faces == FRAMES


@pytest.mark.parametrize("quarter_turns", [1, 3])
def test_people_in_a_turned_video_are_covered(tmp_path, quarter_turns):
    crowd = Crowd(3, 2, quarter_turns)
    clip = crowd.write(tmp_path / "a.mp4")
    detector = Knows(crowd)
    pipeline(clip, tmp_path / "out.mp4", detector, Fill(), quick()).run()
    assert detector.quarter_turns == {quarter_turns}
    assert crowd.shown(tmp_path / "out.mp4") == []


def test_a_frame_that_gets_lost_between_reading_and_writing_ends_the_run(tmp_path, monkeypatch):
    crowd = Crowd(2, 2)
    clip = crowd.write(tmp_path / "a.mp4")
    running = pipeline(clip, tmp_path / "out.mp4", Knows(crowd), Fill(), quick())
    tally = running._outcome.tally
    plain = tally.count

    def forgetful(item, level):
        if item.frame.index == 4:
            tally.frames.output -= 1
        return plain(item, level)

    monkeypatch.setattr(tally, "count", forgetful)
    with pytest.raises(GateError, match="10 frames were read, 9 written and 0 dropped"):
        running.run()
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_the_method_is_closed_once_however_the_run_ends(tmp_path, fails):
    crowd = Crowd(2, 2)
    clip = crowd.write(tmp_path / "a.mp4")
    method = Counts(4)
    if fails:
        method.render = lambda crops, subjects: Rendered(crops[:, :3])  # type: ignore[method-assign]
    running = pipeline(clip, tmp_path / "out.mp4", Knows(crowd), method, quick())
    if fails:
        with pytest.raises(Exception, match="answered with crops"):
            running.run()
    else:
        running.run()
    assert method.closed == 1
