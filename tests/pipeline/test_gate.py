"""What the compositor paints, and how it steps down."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.config import FaultConfig, MethodConfig
from stream_anon.errors import (
    DetectorFault,
    Fault,
    MethodFault,
    ModelError,
    PictureFault,
    TrackerFault,
)
from stream_anon.faces.face import Face
from stream_anon.geometry import apply, mask_radius
from stream_anon.methods import Blur, Fill, Pixelate, Rendered, make_method
from stream_anon.methods.base import Method
from stream_anon.methods.masks import core_mask, minimum_interior
from stream_anon.networks import registry
from stream_anon.pipeline.frames import networks, subject_of
from stream_anon.pipeline.gate import Compositor, grown
from stream_anon.video.cleared import Rung
from stream_anon.video.yuv_picture import YuvPicture
from tests.fakes import MemoryPicture, detail, noise, tracked
from tests.pipeline.portraits import ALTERED, portrait
from tests.video.clips import noise_frame

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


def test_a_picture_that_cannot_even_be_blackened_is_a_fault_that_ends_the_run():
    class Hopeless(MemoryPicture):
        def pixelate(self, blocks):
            raise MemoryError

        def blacken(self):
            raise MemoryError

    with pytest.raises(PictureFault, match="blackened: MemoryError"):
        Compositor(Pixelate(), STEP).clear(
            Hopeless(noise()), [tracked()], DetectorFault("the detector failed")
        )


ERRORS = {
    "value": ValueError("a transform is not finite"),
    "memory": MemoryError(),
    "cv2": cv2.error("warpAffine: -215"),
}


class Failing(MemoryPicture):
    """Raises in one of its parts, from the given call on, as often as asked."""

    def __init__(self, rgb, part, error, first=0, times=10**6):
        super().__init__(rgb)
        self._part, self._error, self._span = part, error, range(first, first + times)
        self._calls = 0

    def _may_fail(self, part):
        if part == self._part:
            self._calls += 1
            if self._calls - 1 in self._span:
                raise self._error

    def crops(self, *given):
        self._may_fail("crops")
        return super().crops(*given)

    def paste(self, *given):
        self._may_fail("paste")
        super().paste(*given)


@pytest.mark.parametrize("part", ["crops", "paste"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_inside_crop_or_paste_is_a_fault(part, error):
    with pytest.raises(PictureFault, match="could not be painted"):
        Compositor(Pixelate(), STOP).clear(Failing(noise(), part, error), [tracked()])


@pytest.mark.parametrize("part", ["crops", "paste"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_inside_crop_or_paste_takes_the_next_rung(part, error):
    once = Failing(noise(), part, error, times=1)
    compositor = Compositor(Pixelate(), STEP)
    assert compositor.clear(once, [tracked()]).rung is Rung.FILL
    assert detail(once.rgb, inside(once, tracked())) < 1.0
    always = Failing(noise(), part, error)
    assert compositor.clear(always, [tracked()]).rung is Rung.PIXELATED
    assert compositor.steps.pictures == {Rung.FILL: 1, Rung.PIXELATED: 1}


def test_half_a_painting_is_covered_by_the_next_rung():
    class Second(Method):
        name, crop_size, opaque = "second", 64, True

        def render(self, crops, subjects):
            return Rendered(np.full_like(crops, 9))

    # The second paste is of the neighbours' inner parts: the first has been done.
    picture = Failing(noise(), "paste", MemoryError(), first=1, times=1)
    faces = [tracked(60, 60, 100, track=2), tracked(130, 60, 100, track=4)]
    cleared = Compositor(Second(), STEP).clear(picture, faces)
    assert cleared.rung is Rung.FILL
    for face in faces:
        assert detail(picture.rgb, inside(picture, face)) < 12.0


NOWHERE = {
    "not finite": {"box": np.full(4, np.nan)},
    "infinite": {"box": np.array([10.0, 10.0, np.inf, 60.0])},
    "transform not finite": {"transform": np.full((2, 3), np.nan)},
    "transform flat": {"transform": np.zeros((2, 3))},
    "landmarks not finite": {"landmarks": np.full((5, 2), np.nan)},
    "far right": {"box": np.array([5000.0, 10.0, 5060.0, 70.0])},
    "far left": {"box": np.array([-900.0, 10.0, -840.0, 70.0])},
    "far below": {"box": np.array([10.0, 1e9, 60.0, 1e9 + 60.0])},
    "inside out": {"box": np.array([60.0, 60.0, 10.0, 10.0])},
    "no area": {"box": np.array([60.0, 60.0, 60.0, 90.0])},
    "mask elsewhere": {"transform": tracked(200, 150, 40).transform},
    "wrong shape": {"box": np.zeros(3)},
}


@pytest.mark.parametrize("name", NOWHERE)
def test_a_face_that_is_nowhere_is_a_doubt_about_the_picture(name):
    known, wrong = tracked(20, 20, 60, 1), replace(tracked(100, 80, 60, 2), **NOWHERE[name])
    with pytest.raises(TrackerFault, match="the place of a face"):
        Compositor(Pixelate(), STOP).clear(MemoryPicture(noise()), [known, wrong])
    picture = MemoryPicture(noise())
    compositor = Compositor(Pixelate(), STEP, draw_boxes=True)
    assert compositor.clear(picture, [known, wrong]).rung is Rung.PIXELATED
    assert compositor.steps.pictures == {Rung.PIXELATED: 1}


def test_a_face_at_the_border_makes_sense():
    picture = MemoryPicture(noise())
    faces = [tracked(-40, 60, 60, 1), tracked(300, 220, 60, 2), tracked(-200, -200, 700, 3)]
    assert Compositor(Pixelate(), STOP).clear(picture, faces).rung is Rung.METHOD


@pytest.mark.parametrize("name", ["box", "landmarks", "transform"])
def test_the_place_of_a_face_cannot_be_written_to(name):
    box, face = np.array([0.0, 0.0, 9.0, 9.0]), tracked()
    found = Face(box, np.ones((5, 2)), 0.5)
    box[:] = np.nan
    assert np.isfinite(found.box).all()
    for one in (found, face):
        values = getattr(one, name, None)
        if values is None:
            continue
        with pytest.raises(ValueError, match="read-only"):
            values[...] = np.nan
        with pytest.raises(ValueError, match="WRITEABLE"):
            values.setflags(write=True)


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(16, 200),
    height=st.integers(16, 200),
    pix_fmt=st.sampled_from(["yuv420p", "yuv444p10le", "yuv422p", "gray"]),
)
def test_a_close_up_that_fills_the_picture_has_at_most_four_blocks_across(width, height, pix_fmt):
    """Upright or lying: no row and no column of any plane has more than four values."""
    picture = YuvPicture(noise_frame(width, height, pix_fmt))
    doubt = DetectorFault("the detector failed")
    assert Compositor(Pixelate(), STEP).clear(picture, [], doubt).rung is Rung.PIXELATED
    for plane in picture._planes():
        for lines in (plane, plane.T):
            steps = (np.diff(lines.astype(int), axis=1) != 0).sum(axis=1)
            assert steps.max() <= 3


def test_what_is_known_is_covered_before_the_picture_is_pixelated():
    known, broken, other = tracked(20, 20, 80, 1), tracked(120, 30, 80, 2), tracked(200, 120, 80, 3)

    class Watched(MemoryPicture):
        def paste(self, crops, masks, transforms, extent):
            if any(np.allclose(one, grown(broken.transform, 1.25)) for one in transforms):
                raise ValueError("a transform is singular")
            super().paste(crops, masks, transforms, extent)

        def pixelate(self, blocks):
            self.before = self.rgb.copy()
            super().pixelate(blocks)

    picture = Watched(noise())
    compositor = Compositor(Pixelate(), STEP)
    faces = [known, broken, other]
    cleared = compositor.clear(picture, faces, DetectorFault("the detector failed"))
    assert cleared.rung is Rung.PIXELATED
    for face in (known, other):
        assert detail(picture.before, inside(picture, face)) < 1.0


def test_each_stream_has_covered_faces_of_its_own(monkeypatch):
    compositor = Compositor(Neighbours(opaque=False), STOP)
    told = []
    real = compositor._frames.of

    def of(picture, faces, covered=()):
        told.append((picture.stream, sorted(covered)))
        return real(picture, faces, covered)

    monkeypatch.setattr(compositor._frames, "of", of)
    for index in range(3):
        for stream, track in ((0, 1), (1, 2), (2, 3)):
            picture = MemoryPicture(noise(), index)
            picture.stream = stream
            compositor.clear(picture, [tracked(100, 80, 60, track)])
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
        Compositor(Writes(_plainly), STOP).clear(MemoryPicture(noise()), [tracked()])
    picture = MemoryPicture(noise())
    assert Compositor(Writes(_plainly), STEP).clear(picture, [tracked()]).rung is Rung.FILL
    assert detail(picture.rgb, inside(picture, tracked())) < 1.0


@pytest.mark.parametrize("policy", [STOP, STEP], ids=["stop", "step-down"])
def test_a_method_that_writes_by_force_changes_nothing_that_is_compared(policy):
    picture = MemoryPicture(noise())
    compositor = Compositor(Writes(_by_force), policy)
    try:
        compositor.clear(picture, [tracked()])
    except Fault:
        return
    assert detail(picture.rgb, inside(picture, tracked())) < 1.0


@pytest.mark.parametrize("name", ALTERED)
def test_a_face_that_is_hardly_altered_is_covered(name):
    face = tracked(40, 40, 160)
    picture = MemoryPicture(noise())
    patch = cv2.resize(portrait(3), (160, 160), interpolation=cv2.INTER_LINEAR)
    picture.rgb[40:200, 40:200] = patch

    def alter(crops):
        return Rendered(np.stack([np.asarray(ALTERED[name](crop), np.uint8) for crop in crops]))

    compositor = Compositor(Broken(alter), STOP)
    compositor.clear(picture, [face])
    assert compositor.steps.faces == 1
    assert detail(picture.rgb, inside(picture, face)) < 1.0


def test_every_track_that_ends_is_forgotten_though_one_cannot_be():
    class Keeps(Pixelate):
        def __init__(self):
            super().__init__()
            self.told = []

        def forget(self, track):
            self.told.append(track)
            if track == 2:
                raise RuntimeError("no such key")

    method = Keeps()
    with pytest.raises(MethodFault, match="kept a track: RuntimeError: no such key"):
        Compositor(method, STEP).end([1, 2, 3])
    assert method.told == [1, 2, 3]


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
def test_a_small_face_gets_cells_that_are_as_coarse_in_the_picture(size):
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


def test_without_the_mesh_network_faces_are_drawn_all_the_same(tmp_path, monkeypatch, caplog):
    """Only who asked for meshes must have them; the report names no network that did not run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STREAM_ANON_MODELS", raising=False)

    def no_index(*_: object) -> bytes:
        raise ModelError("no index to ask")

    monkeypatch.setattr(registry._fetch, "fetch", no_index)
    assert "face_mesh" not in networks(make_method(MethodConfig(name="identity")))
    method = make_method(MethodConfig(name="identity", mesh=None))
    assert "face_mesh" in networks(method)
    compositor = Compositor(method, STOP)
    assert "drawn without it" in caplog.text
    assert "face_mesh" not in networks(method)
    picture = MemoryPicture(noise())
    assert compositor.clear(picture, [tracked()]).rung is Rung.METHOD
    with pytest.raises(ModelError):
        Compositor(make_method(MethodConfig(name="identity", mesh=True)), STOP)
    method.close()
