"""What the compositor paints, and how it steps down: the second half."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.masks import core_mask, minimum_interior
from stream_anon.config import MethodConfig
from stream_anon.errors import (
    DetectorFault,
    Fault,
    MethodFault,
    ModelError,
)
from stream_anon.geometry import apply, mask_radius
from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.methods import Blur, Pixelate, Rendered, make_method
from stream_anon.methods.base import Method
from stream_anon.models import registry
from stream_anon.pipeline.painting.face_stabilizer import networks, subject_of
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.shapes import grown
from stream_anon.track_state import Part
from tests.fakes import MemoryFrame, detail, noise, tracked
from tests.media.clips import noise_frame
from tests.pipeline.portraits import ALTERED, portrait
from tests.pipeline.test_gate import STEP, STOP, Broken, fine, inside


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(16, 200),
    height=st.integers(16, 200),
    pix_fmt=st.sampled_from(["yuv420p", "yuv444p10le", "yuv422p", "gray"]),
)
def test_a_close_up_that_fills_the_frame_has_at_most_four_blocks_across(width, height, pix_fmt):
    """Upright or lying: no row and no column of any plane has more than four values."""
    frame = CpuFrame(noise_frame(width, height, pix_fmt))
    analysis_error = DetectorFault("the detector failed")
    assert (
        Compositor(Pixelate(), STEP).clear(frame, [], analysis_error).level
        is FallbackLevel.PIXELATED
    )
    for plane in frame._planes():
        for lines in (plane, plane.T):
            fallbacks = (np.diff(lines.astype(int), axis=1) != 0).sum(axis=1)
            assert fallbacks.max() <= 3


def test_what_is_known_is_covered_before_the_frame_is_pixelated():
    known, broken, other = tracked(20, 20, 80, 1), tracked(120, 30, 80, 2), tracked(200, 120, 80, 3)

    class Watched(MemoryFrame):
        def paste(self, crops, masks, transforms, extent):
            if any(np.allclose(one, grown(broken.transform, 1.25)) for one in transforms):
                raise ValueError("a transform is singular")
            super().paste(crops, masks, transforms, extent)

        def pixelate(self, blocks):
            self.before = self.rgb.copy()
            super().pixelate(blocks)

    frame = Watched(noise())
    compositor = Compositor(Pixelate(), STEP)
    faces = [known, broken, other]
    cleared = compositor.clear(frame, faces, DetectorFault("the detector failed"))
    assert cleared.level is FallbackLevel.PIXELATED
    for face in (known, other):
        assert detail(frame.before, inside(frame, face)) < 1.0


def test_each_stream_has_covered_faces_of_its_own(monkeypatch):
    compositor = Compositor(Neighbours(opaque=False), STOP)
    told = []
    stabilizer = compositor._painters["face", compositor.method]._stabilizer
    real = stabilizer.of

    def of(frame, faces, states, painted=()):
        told.append((frame.stream, sorted(painted)))
        return real(frame, faces, states, painted)

    monkeypatch.setattr(stabilizer, "of", of)
    for index in range(3):
        for stream, track in ((0, 1), (1, 2), (2, 3)):
            frame = MemoryFrame(noise(), index)
            frame.stream = stream
            compositor.clear(frame, [tracked(100, 80, 60, track)])
    # Neighbours declines odd tracks.
    assert told[:3] == [(0, []), (1, []), (2, [])]
    assert told[3:] == [(0, [1]), (1, []), (2, [3])] * 2


class Writes(Method):
    """Changes what it was given, by one way or another, and answers with the face as it was."""

    name = "writes"
    crop_size = 64

    def __init__(self, way):
        self._way = way

    def render(self, crops, subjects):
        raw = crops.copy()
        self._way(crops)
        return Rendered(raw)


def _plainly(crops):
    crops[:] = 0


def _by_force(crops):
    crops.setflags(write=True)
    crops[:] = 0


def test_a_method_that_writes_into_its_crops_is_a_fault():
    with pytest.raises(MethodFault, match="read-only"):
        Compositor(Writes(_plainly), STOP).clear(MemoryFrame(noise()), [tracked()])
    frame = MemoryFrame(noise())
    assert Compositor(Writes(_plainly), STEP).clear(frame, [tracked()]).level is FallbackLevel.FILL
    assert detail(frame.rgb, inside(frame, tracked())) < 1.0


@pytest.mark.parametrize("policy", [STOP, STEP], ids=["stop", "step-down"])
def test_a_method_that_writes_by_force_changes_nothing_that_is_compared(policy):
    frame = MemoryFrame(noise())
    compositor = Compositor(Writes(_by_force), policy)
    try:
        compositor.clear(frame, [tracked()])
    except Fault:
        return
    assert detail(frame.rgb, inside(frame, tracked())) < 1.0


@pytest.mark.parametrize("name", ALTERED)
def test_a_face_that_is_hardly_altered_is_covered(name):
    face = tracked(40, 40, 160)
    frame = MemoryFrame(noise())
    patch = cv2.resize(portrait(3), (160, 160), interpolation=cv2.INTER_LINEAR)
    frame.rgb[40:200, 40:200] = patch

    def alter(crops):
        return Rendered(np.stack([np.asarray(ALTERED[name](crop), np.uint8) for crop in crops]))

    compositor = Compositor(Broken(alter), STOP)
    compositor.clear(frame, [face])
    assert compositor.fallbacks.faces == 1
    assert detail(frame.rgb, inside(frame, face)) < 1.0


def test_every_track_that_ends_is_forgotten_though_one_cannot_be():
    class Keeps(Pixelate):
        def __init__(self):
            super().__init__()
            self.told = []
            self.kept = Part(wipe=self.wipe)

        def wipe(self, track):
            self.told.append(track)
            if track == 2:
                raise RuntimeError("no such key")

        def render(self, crops, subjects):
            for subject in subjects:
                self.kept.put(subject.state, subject.track)
            return super().render(crops, subjects)

    method = Keeps()
    compositor = Compositor(method, STEP)
    compositor.clear(MemoryFrame(noise()), [tracked(20 + 90 * k, 80, 60, k + 1) for k in range(3)])
    with pytest.raises(MethodFault, match="could not be wiped: RuntimeError: no such key"):
        compositor.end([1, 2, 3])
    assert method.told == [1, 2, 3]
    assert len(compositor.states) == 0


def test_growing_keeps_the_centre():
    face = tracked()
    large = grown(face.transform, 1.25)
    centre = np.array([[64.0, 70.0]])
    inverse = np.linalg.inv(np.vstack([face.transform, [0, 0, 1]]))[:2]
    point = apply(inverse, centre)
    assert np.allclose(apply(large, point), centre)
    edge = apply(inverse, np.array([[64.0 + 44.0, 70.0]]))
    assert np.allclose(mask_radius(apply(large, edge)), 1 / 1.25)


@pytest.mark.parametrize("cells", [2, 8, 16])
def test_a_mosaic_keeps_only_its_averages(cells):
    crops = noise(cells * 8, cells * 8)[None]
    face = tracked(size=900.0)
    rendered = Pixelate(cells).render(crops, [subject_of(face, 0.0, face.transform, None)])
    blocks = rendered.crops[0].reshape(cells, 8, cells, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    means = crops[0].reshape(cells, 8, cells, 8, 3).mean(axis=(1, 3))
    assert np.abs(blocks[:, 0, :, 0] - means).max() <= 1


@pytest.mark.parametrize("size", [10, 20, 30, 60, 120, 400])
def test_a_small_face_gets_cells_that_are_as_coarse_in_the_frame(size):
    cells = Pixelate(8).cells(size)
    assert 2 <= cells <= 8
    assert cells == 2 or size * (128 / 92) / cells >= 14


@pytest.mark.parametrize("share", [0.08, 0.15, 0.22])
def test_a_blur_is_as_strong_as_asked(share):
    """The spread of a line that it was given, against the deviation in pixels of its crop."""
    method = Blur(share)
    side = method.crop_size
    line = np.zeros((1, side, side, 3), np.uint8)
    line[:, :, side // 2] = 255
    spread = method.render(line, [None]).crops[0, side // 2, :, 0].astype(float)
    place = np.arange(side) - side / 2
    reach = np.abs(place) <= 0.9 * side / 2
    weight = spread[reach] / spread[reach].sum()
    # Of a Gaussian that is cut off where the crop ends.
    whole = np.exp(-(place[reach] ** 2) / (2 * (share * side) ** 2))
    wanted = np.sqrt((whole * place[reach] ** 2).sum() / whole.sum())
    assert np.sqrt((weight * place[reach] ** 2).sum()) == pytest.approx(wanted, rel=0.08)


def test_a_blur_leaves_only_slow_changes():
    checks = np.indices((32, 32)).sum(axis=0) // 4 % 2 * 255
    crops = np.repeat(checks[None, ..., None], 3, axis=3).astype(np.uint8)
    blurred = Blur().render(crops, [None]).crops[0].astype(int)
    assert np.ptp(blurred[10:-10, 10:-10]) < 12


class Neighbours(Method):
    """Paints faces of one colour with wide soft masks; those of odd tracks are declined."""

    name = "neighbours"
    crop_size = 64

    def __init__(self, opaque, edge=0):
        self.opaque = opaque
        self._edge = edge

    def render(self, crops, subjects):
        new = np.full_like(crops, 200)
        # Beyond the ellipse it paints what it saw there: another face, perhaps.
        new[:, ~minimum_interior(64)] = crops[:, ~minimum_interior(64)]
        masks = np.full((len(crops), 64, 64), self._edge, np.uint8)
        return Rendered(new, masks, np.array([s.track % 2 == 1 for s in subjects]))


def test_a_neighbours_cover_does_not_hide_a_face_that_needs_none():
    shown, hidden = tracked(60, 60, 100, track=2), tracked(100, 60, 100, track=3)
    for opaque in (False, True):
        frame = MemoryFrame(noise())
        Compositor(Neighbours(opaque), STOP).clear(frame, [shown, hidden])
        core = inside(frame, shown, 0.85)
        assert (np.abs(frame.rgb[core].astype(int) - 200).mean() < 2) == opaque
        # What the cover was there for is as hidden as ever.
        under = inside(frame, hidden) & ~inside(frame, shown, 1.1)
        assert fine(frame.rgb, under) < 0.25 * fine(noise(), under)
        assert (inside(frame, hidden) & core).any()


def test_a_neighbours_soft_edge_does_not_bring_a_face_back():
    left, right = tracked(60, 60, 100, track=2), tracked(130, 60, 100, track=4)
    leaks = []
    for opaque in (False, True):
        frame = MemoryFrame(noise())
        Compositor(Neighbours(opaque, edge=200), STOP).clear(frame, [left, right])
        core = inside(frame, left, 0.85)
        leaks.append(np.abs(frame.rgb[core].astype(int) - 200).mean())
    assert leaks[0] > 4
    assert leaks[1] < 2


def test_the_core_lies_inside_the_ellipse():
    core, interior = core_mask(64), minimum_interior(64)
    assert core[~interior].max() == 0
    assert core[32, 32] == 255
    assert (core[interior] == 255).mean() > 0.7


def test_without_the_mesh_network_faces_are_drawn_all_the_same(tmp_path, monkeypatch, caplog):
    """Only who asked for meshes must have them; the report names no network that did not run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STREAM_ANON_MODELS", raising=False)

    def no_index(*_: object) -> bytes:
        raise ModelError("no index to ask")

    monkeypatch.setattr(registry._fetch, "fetch", no_index)
    caplog.set_level("WARNING", logger="stream_anon")
    assert "face_mesh" not in networks(make_method(MethodConfig(name="identity")))
    method = make_method(MethodConfig(name="identity", mesh=None))
    assert "face_mesh" in networks(method)
    compositor = Compositor(method, STOP)
    assert "drawn without it" in caplog.text
    assert "face_mesh" not in networks(method)
    frame = MemoryFrame(noise())
    assert compositor.clear(frame, [tracked()]).level is FallbackLevel.METHOD
    with pytest.raises(ModelError):
        Compositor(make_method(MethodConfig(name="identity", mesh=True)), STOP)
    method.close()
