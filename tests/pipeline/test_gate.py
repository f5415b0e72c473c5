"""What the compositor paints, and how it steps down."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.config import FaultConfig
from stream_anon.errors import DetectorFault, MethodFault, PictureFault
from stream_anon.geometry import apply, mask_radius
from stream_anon.methods import Blur, Fill, Pixelate, Rendered
from stream_anon.methods.base import Method
from stream_anon.methods.masks import core_mask, minimum_interior
from stream_anon.pipeline.frames import subject_of
from stream_anon.pipeline.gate import Compositor, grown, unchanged
from stream_anon.video.cleared import Rung
from tests.fakes import MemoryPicture, detail, noise, tracked

STOP, STEP = FaultConfig(policy="stop"), FaultConfig(policy="step-down")


class Broken(Method):
    """A method that does one wrong thing."""

    name = "broken"
    crop_size = 64

    def __init__(self, act):
        self._act = act

    def render(self, crops, subjects):
        return self._act(crops)


def _raise(_):
    raise RuntimeError("no such tensor")


WRONG = {
    "raises": _raise,
    "none": lambda crops: None,
    "wrong count": lambda crops: Rendered(crops[:0]),
    "wrong type": lambda crops: Rendered(crops.astype(np.float32)),
    "not square": lambda crops: Rendered(crops[:, :32]),
    "grey": lambda crops: Rendered(crops[..., 0]),
    "wrong mask": lambda crops: Rendered(255 - crops, masks=np.zeros((9, 8, 8), np.uint8)),
    "wrong declined": lambda crops: Rendered(255 - crops, declined=np.zeros(9, np.bool_)),
}


def inside(picture, face, slack=0.97):
    y, x = np.mgrid[: picture.height, : picture.width]
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    return (mask_radius(apply(face.transform, points)) < slack).reshape(y.shape)


@pytest.mark.parametrize("method", [Pixelate(), Blur(), Fill()], ids=lambda m: m.name)
def test_a_face_is_painted_and_the_rest_is_untouched(method):
    raw = noise()
    picture = MemoryPicture(raw.copy())
    face = tracked()
    cleared = Compositor(method, STOP).clear(picture, [face])
    assert cleared.rung is Rung.METHOD
    assert cleared.covered == (1,)
    area = inside(picture, face)
    change = np.abs(picture.rgb.astype(int) - raw)[area].mean()
    assert change > 15
    outside = ~inside(picture, face, slack=1.3)
    assert (picture.rgb[outside] == raw[outside]).all()


def test_the_solid_cover_leaves_nothing_of_the_face():
    raw = noise()
    picture = MemoryPicture(raw.copy())
    face = tracked()
    Compositor(Fill((10, 200, 30)), STOP).clear(picture, [face])
    assert (picture.rgb[inside(picture, face)] == (10, 200, 30)).all()


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_method_stops_the_run(name):
    compositor = Compositor(Broken(WRONG[name]), STOP)
    with pytest.raises(MethodFault, match="broken"):
        compositor.clear(MemoryPicture(noise()), [tracked()])


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_method_steps_down_to_the_solid_cover(name):
    raw = noise()
    picture = MemoryPicture(raw.copy())
    compositor = Compositor(Broken(WRONG[name]), STEP)
    cleared = compositor.clear(picture, [tracked()])
    assert cleared.rung is Rung.FILL
    area = inside(picture, tracked())
    assert detail(picture.rgb, area) < 1.0
    assert compositor.steps.pictures == {Rung.FILL: 1}


def test_frames_that_fail_step_down_to_the_solid_cover(monkeypatch):
    raw = noise()
    for fault in (STOP, STEP):
        picture = MemoryPicture(raw.copy())
        compositor = Compositor(Pixelate(), fault)
        monkeypatch.setattr(compositor._frames, "of", lambda *_: _raise(None))
        if fault is STOP:
            with pytest.raises(MethodFault, match="frames failed"):
                compositor.clear(picture, [tracked()])
            continue
        assert compositor.clear(picture, [tracked()]).rung is Rung.FILL
        assert detail(picture.rgb, inside(picture, tracked())) < 1.0


def test_the_input_itself_is_no_answer():
    raw = noise()
    picture = MemoryPicture(raw.copy())
    compositor = Compositor(Broken(lambda crops: Rendered(crops.copy())), STOP)
    cleared = compositor.clear(picture, [tracked()])
    assert cleared.covered == (1,)
    assert compositor.steps.faces == 1
    assert detail(picture.rgb, inside(picture, tracked())) < 1.0


def test_a_mask_smaller_than_the_minimum_is_raised_to_it():
    raw = noise()
    picture = MemoryPicture(raw.copy())

    def nothing_to_see(crops):
        return Rendered(np.full_like(crops, 7), masks=np.zeros(crops.shape[:3], np.uint8))

    Compositor(Broken(nothing_to_see), STOP).clear(picture, [tracked()])
    assert (picture.rgb[inside(picture, tracked())] == 7).all()


def fine(rgb: np.ndarray, area: np.ndarray) -> float:
    """What a small blur would take away of (h, w, 3) inside (h, w), in levels."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 2.0).astype(float)
    return float(np.abs(rgb - soft)[area].mean())


def test_a_declined_face_is_covered_and_the_others_keep_the_method():
    picture = MemoryPicture(noise())

    def second_only(crops):
        return Rendered(np.full_like(crops, 9), declined=np.array([True, False]))

    faces = [tracked(20, 20, 60, 1), tracked(180, 100, 60, 2)]
    compositor = Compositor(Broken(second_only), STOP)
    cleared = compositor.clear(picture, faces)
    assert cleared.covered == (1, 2)
    assert compositor.steps.faces == 1
    assert (picture.rgb[inside(picture, faces[1])] == 9).all()
    assert not (picture.rgb[inside(picture, faces[0])] == 9).any()
    # Coarse colours are left (tests/methods/test_soft_cover.py), nothing that a blur would take.
    under = inside(picture, faces[0])
    assert fine(picture.rgb, under) < 0.25 * fine(noise(), under)


def test_a_damaged_picture_stops_or_is_pixelated_whole():
    with pytest.raises(PictureFault):
        Compositor(Pixelate(), STOP).clear(MemoryPicture(noise(), corrupt=True), [])
    raw = noise()
    picture = MemoryPicture(raw.copy(), corrupt=True)
    cleared = Compositor(Pixelate(), STEP).clear(picture, [])
    assert cleared.rung is Rung.PIXELATED
    assert np.abs(picture.rgb.astype(int) - raw).mean() > 10


def test_doubt_about_the_faces_covers_the_whole_picture():
    doubt = DetectorFault("the detector failed")
    with pytest.raises(DetectorFault):
        Compositor(Pixelate(), STOP).clear(MemoryPicture(noise()), [], doubt)
    compositor = Compositor(Pixelate(), STEP)
    assert compositor.clear(MemoryPicture(noise()), [], doubt).rung is Rung.PIXELATED
    assert compositor.steps.reasons == {"the detector failed": 1}


def test_every_step_that_fails_is_left_by_the_next():
    class Stubborn(MemoryPicture):
        def paste(self, *_):
            raise RuntimeError("no memory")

        def pixelate(self, blocks):
            raise RuntimeError("no memory")

    picture = Stubborn(noise())
    compositor = Compositor(Broken(_raise), STEP)
    cleared = compositor.clear(picture, [tracked()])
    assert cleared.rung is Rung.BLACK
    assert not picture.rgb.any()


def test_growing_keeps_the_centre():
    face = tracked()
    large = grown(face.transform, 1.25)
    centre = np.array([[64.0, 70.0]])
    inverse = np.linalg.inv(np.vstack([face.transform, [0, 0, 1]]))[:2]
    point = apply(inverse, centre)
    assert np.allclose(apply(large, point), centre)
    edge = apply(inverse, np.array([[64.0 + 44.0, 70.0]]))
    assert np.allclose(mask_radius(apply(large, edge)), 1 / 1.25)


def test_unchanged_tells_the_same_face_at_another_size():
    crops = np.stack([noise(64, 64, seed) for seed in range(2)])
    larger = np.repeat(np.repeat(crops, 2, axis=1), 2, axis=2)
    assert unchanged(crops, larger).tolist() == [True, True]
    assert unchanged(crops, crops[::-1]).tolist() == [False, False]


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
def test_a_small_face_gets_cells_that_are_as_coarse_in_the_picture(size):
    cells = Pixelate(8).cells(size)
    assert 2 <= cells <= 8
    assert cells == 2 or size * (128 / 92) / cells >= 14


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
        picture = MemoryPicture(noise())
        Compositor(Neighbours(opaque), STOP).clear(picture, [shown, hidden])
        core = inside(picture, shown, 0.85)
        assert (np.abs(picture.rgb[core].astype(int) - 200).mean() < 2) == opaque
        # What the cover was there for is as hidden as ever.
        under = inside(picture, hidden) & ~inside(picture, shown, 1.1)
        assert fine(picture.rgb, under) < 0.25 * fine(noise(), under)
        assert (inside(picture, hidden) & core).any()


def test_a_neighbours_soft_edge_does_not_bring_a_face_back():
    left, right = tracked(60, 60, 100, track=2), tracked(130, 60, 100, track=4)
    leaks = []
    for opaque in (False, True):
        picture = MemoryPicture(noise())
        Compositor(Neighbours(opaque, edge=200), STOP).clear(picture, [left, right])
        core = inside(picture, left, 0.85)
        leaks.append(np.abs(picture.rgb[core].astype(int) - 200).mean())
    assert leaks[0] > 4
    assert leaks[1] < 2


def test_the_core_lies_inside_the_ellipse():
    core, interior = core_mask(64), minimum_interior(64)
    assert core[~interior].max() == 0
    assert core[32, 32] == 255
    assert (core[interior] == 255).mean() > 0.7
