"""What identity and dp-image do around their networks, with networks that do as told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon.alignment.masks import minimum_interior, minimum_mask
from stream_anon.config import FaultConfig
from stream_anon.errors import MethodFault
from stream_anon.geometry import TEMPLATE, mask_radius
from stream_anon.media.cleared import FallbackLevel
from stream_anon.methods.base import Subject
from stream_anon.methods.generative.base import CodedMethod
from stream_anon.methods.generative.blending import (
    LARGEST_GRAIN,
    LIGHT,
    MAX_SHARPENING,
    OTHER_HUE,
    add_grain,
    clamp_chroma,
    grain_of,
    match_light,
    missing_grain,
    sharpen,
)
from stream_anon.methods.generative.eligibility import EligibilityFilter, is_face, posed
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.privacy import ReleaseError, mechanism
from tests.fakes import STATES, MemoryFrame, detail, noise, state, tracked


class Drawn(CodedMethod):
    """Codes are the crop's mean colours; faces are a pattern of the code."""

    name = "drawn"

    def __init__(self, kind="independent", paint=None, **options):
        super().__init__(mechanism(kind, dimension=3, **options), 24.0)
        self.encoded = 0
        self.codes = []
        self._paint = paint

    def encode(self, crops, landmarks):
        self.encoded += len(crops)
        codes = crops.reshape(len(crops), -1, 3).mean(axis=1) + 1.0
        return codes / np.linalg.norm(codes, axis=1, keepdims=True)

    def draw(self, crops, landmarks, codes):
        self.codes.append(codes.copy())
        if self._paint is not None:
            return self._paint(crops)
        x = np.linspace(0, 6.0, 128)
        wave = 80 * np.sin(x)[None, :] * np.cos(x)[:, None]
        faces = 127 + wave[None, ..., None] + 30 * codes[:, None, None]
        return np.rint(faces).astype(np.uint8)


def subject(track=1, landmarks=TEMPLATE, size=80.0, seconds=0.0):
    return Subject(state(track), landmarks, size, 0.9, seconds)


def crop(seed=0):
    return noise(128, 128, seed)[None]


def test_one_code_per_track_whatever_the_crop():
    method = Drawn()
    for seed in range(5):
        method.render(crop(seed), [subject(track=1, seconds=float(seed))])
    method.render(crop(0), [subject(track=2)])
    first = method.codes[0]
    assert all((codes == first).all() for codes in method.codes[:5])
    assert not np.allclose(method.codes[5], first)
    assert method.encoded == 0, "an independent identity never looks at the face"


def test_the_encoder_runs_once_per_track_and_the_noisy_code_is_frozen():
    method = Drawn("privunit", epsilon=8.0)
    for seed in range(4):
        method.render(crop(seed), [subject(seconds=float(seed))])
    assert method.encoded == 1
    assert len(method.codes) == 4
    assert all((codes == method.codes[0]).all() for codes in method.codes)


def test_a_track_that_ended_gets_no_second_release():
    method = Drawn()
    method.render(crop(), [subject()])
    STATES.end(1)
    with pytest.raises(ReleaseError):
        method.render(crop(), [subject()])


def test_two_runs_differ():
    codes = []
    for _ in range(2):
        method = Drawn()
        method.render(crop(), [subject()])
        codes.append(method.codes[0])
    assert not np.allclose(*codes)


def test_the_ledger_tells_the_track_and_no_code():
    method = Drawn("gaussian", epsilon=4.0, delta=1e-6)
    method.render(crop(), [subject(seconds=1.0)])
    method.render(crop(), [subject(seconds=3.0)])
    ledger = method.privacy()
    (line,) = ledger["tracks"]
    assert (line["track"], line["epsilon"], line["first"], line["last"]) == (1, 4.0, 1.0, 3.0)
    flat = str(ledger)
    large = [value for value in method.codes[0].ravel() if abs(value) > 0.1]
    assert not any(f"{value:.6f}"[:7] in flat for value in large)


def person(hue):
    """Crops of one colour: as far as ``Drawn`` is concerned, a person."""
    colour = np.zeros(3) + 20
    colour[hue] = 235
    frame = noise(128, 128, 1) // 8 + colour.astype(np.uint8)[None, None] // 8 * 7
    return frame.astype(np.uint8)[None]


class Hues(Drawn):
    def encode(self, crops, landmarks):
        self.encoded += len(crops)
        codes = crops.reshape(len(crops), -1, 3).mean(axis=1) - crops.mean()
        return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def test_nobody_is_recognised():
    method = Hues()
    method.render(person(0), [subject(1)])
    STATES.end(1)
    method.render(person(0), [subject(2)])
    assert method.encoded == 0
    assert not np.allclose(*method.codes)


@pytest.mark.parametrize(
    ("why", "unfit"),
    [
        ("too small", {"size": 20.0}),
        ("no landmarks", {"landmarks": None}),
        ("in profile", {"landmarks": TEMPLATE + np.eye(5)[2][:, None] * (30, 0)}),
        ("eyes together", {"landmarks": (TEMPLATE - 64) * (0.3, 1.0) + 64}),
        ("no face", {"landmarks": TEMPLATE + np.eye(5)[2][:, None] * (0, 45)}),
        ("far too small in its crop", {"landmarks": (TEMPLATE - 64) * 0.4 + 64}),
    ],
)
def test_unfit_faces_go_down_the_ladder(why, unfit):
    rendered = Drawn().render(np.concatenate([crop(), crop(1)]), [subject(1, **unfit), subject(2)])
    assert rendered.declined.tolist() == [True, False], why


def test_a_track_does_not_flicker_between_a_face_and_a_cover():
    fitness = EligibilityFilter(24.0)
    sizes = [26, 23, 24.5, 25.5, 27, 29, 26, 24.5]
    declined = [bool(fitness.declined([subject(size=s)])[0]) for s in sizes]
    assert declined == [False, True, True, True, True, False, False, False]


def test_frontal_and_moderately_turned_faces_are_fit():
    assert posed(TEMPLATE)
    turned = TEMPLATE + np.array([[4, 0], [-2, 0], [12, 0], [4, 0], [0, 0]])
    assert posed(turned)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_black_and_flat_answers_are_no_faces(level):
    flat = np.full((1, 128, 128, 3), level, np.uint8)
    assert not is_face(flat)[0]
    rendered = Drawn(paint=lambda crops: flat).render(crop(), [subject()])
    assert rendered.declined.tolist() == [True]


def test_an_encoder_that_answers_nan_is_a_fault():
    class Sick(Drawn):
        def encode(self, crops, landmarks):
            return np.full((len(crops), 3), np.nan)

    with pytest.raises(MethodFault, match="no codes"):
        Sick("privunit", epsilon=8.0).render(crop(), [subject()])


@pytest.mark.parametrize("paint", [lambda crops: crops.copy(), lambda crops: crops * 0])
def test_through_the_gate_the_input_itself_and_black_are_covered(paint):
    frame = MemoryFrame(noise())
    compositor = Compositor(Drawn(paint=paint), FaultConfig(policy="stop"))
    face = tracked(60, 40, 120)
    cleared = compositor.clear(frame, [face])
    assert cleared.level is FallbackLevel.METHOD
    assert compositor.fallbacks.faces == 1
    centre = frame.rgb[90:110, 110:130]
    # The black one is declined and gets the soft cover, which has coarse colours.
    assert detail(centre, np.ones(centre.shape[:2], np.bool_)) < 3.0
    assert detail(noise()[90:110, 110:130], np.ones((20, 20), np.bool_)) > 15.0


def test_light_is_carried_inwards_from_what_stays_visible():
    masks = np.full((1, 128, 128), 255, np.uint8)
    new = np.full_like(crop(), 90)
    bright, dim = (
        match_light(new, np.full_like(new, level), masks).astype(float)[0] for level in (105, 75)
    )
    y, x = np.mgrid[:128, :128]
    radius = mask_radius(np.stack([x.ravel(), y.ravel()], 1)).reshape(128, 128)
    edge, middle = (radius > 0.9) & (radius < 1.0), radius < 0.3
    assert bright[edge].mean() > dim[edge].mean() + 15
    assert abs(bright[middle].mean() - dim[middle].mean()) < 10


def test_what_is_no_light_is_not_carried_inwards():
    """A dark hair line where the new face has a wall says nothing of how its skin is lit."""
    masks = np.full((1, 128, 128), 255, np.uint8)
    new = np.full_like(crop(), 200)
    black = match_light(new, np.zeros_like(new), masks).astype(int)
    assert np.abs(black - new).max() < LIGHT / 2


def test_nothing_under_the_ellipse_shapes_the_light():
    old = crop(0)
    other = old.copy()
    other[0][minimum_interior(128)] = 255 - old[0][minimum_interior(128)]
    new = crop(5)
    masks = minimum_mask(128)[None]
    assert (match_light(new, old, masks) == match_light(new, other, masks)).all()
    np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    assert missing_grain(new, old) == missing_grain(new, other)


def test_grain_is_matched_and_limited():
    rng = np.random.default_rng(0)
    smooth = np.full((1, 128, 128, 3), 120, np.uint8)
    tile = rng.normal(size=(128, 128)).astype(np.float32)
    for sigma in (3.0, 30.0):
        grainy = np.clip(120 + sigma * rng.normal(size=(1, 128, 128, 1)), 0, 255)
        grainy = np.repeat(grainy, 3, axis=3).astype(np.uint8)
        assert grain_of(grainy)[0] == pytest.approx(sigma, rel=0.15)
        got = add_grain(smooth, missing_grain(smooth, grainy), tile).astype(float).std()
        assert got == pytest.approx(min(sigma, LARGEST_GRAIN), rel=0.2)


def test_a_face_that_is_hardly_one_is_covered():
    rendered = Drawn().render(crop(), [Subject(state(1), TEMPLATE, 80.0, 0.12, 0.0)])
    assert rendered.declined.tolist() == [True]


def radius_of(side=128):
    y, x = np.mgrid[:side, :side]
    return mask_radius(np.stack([x.ravel(), y.ravel()], 1)).reshape(side, side)


def hues(frames):
    """Cr and Cb."""
    return cv2.cvtColor(frames[0], cv2.COLOR_RGB2YCrCb).astype(int)[..., 1:]


def test_hair_has_no_hue_that_nothing_around_it_has():
    skin, wall, orange = (170, 130, 110), (70, 130, 200), (220, 110, 20)
    old = np.full_like(crop(), wall)
    new = np.full_like(crop(), skin)
    new[0][radius_of() > 1.0] = orange
    got = clamp_chroma(new, old)
    hair = radius_of() > 1.1
    # Nearer to skin and wall than to orange, and as bright as it was.
    known = hues(np.stack([np.array([[skin, wall]], np.uint8)]))[0]
    assert (hues(got)[hair].max(0) <= known.max(0) + OTHER_HUE + 2).all()
    assert (hues(got)[hair].min(0) >= known.min(0) - OTHER_HUE - 2).all()
    grey = [cv2.cvtColor(p[0], cv2.COLOR_RGB2GRAY)[hair].astype(int) for p in (new, got)]
    assert np.abs(grey[0] - grey[1]).max() <= 3
    assert np.abs(got.astype(int) - new)[0][radius_of() < 0.6].max() <= 2


def test_hues_that_are_known_stay_as_they_are():
    rng = np.random.default_rng(2)
    old = rng.integers(0, 256, (1, 128, 128, 3), np.uint8)
    # Every colour is around: as cells are averages, some strong ones are put in whole.
    old[0, :8, :] = (255, 0, 0)
    old[0, 120:, :64], old[0, 120:, 64:] = (0, 255, 0), (0, 0, 255)
    new = crop(5)
    assert np.abs(clamp_chroma(new, old).astype(int) - new).max() <= 3


def test_in_a_grey_frame_hair_is_grey():
    old = np.full_like(crop(), 120)
    new = np.full_like(crop(), 110)
    new[0][radius_of() > 1.0] = (150, 100, 60)
    spread = np.ptp(clamp_chroma(new, old)[0][radius_of() > 1.1].astype(int), axis=1)
    # It was 90.
    assert spread.max() <= 4 * OTHER_HUE


def test_only_skin_that_will_be_enlarged_is_sharpened():
    _, x = np.mgrid[:128, :128]
    fine = np.rint(128 + 30 * np.sin(x))[..., None].repeat(3, 2).astype(np.uint8)
    faces = np.stack([fine] * 4)
    got = sharpen(faces, [0.4, 1.3, 1.8, 9.0]).astype(int)
    assert (got[:2] == faces[:2]).all()
    contrast = [g[radius_of() < 0.6].std() for g in got]
    assert contrast[0] == contrast[1] < contrast[2] - 1 < contrast[3] - 2
    assert contrast[3] <= (1 + MAX_SHARPENING) * contrast[0]
    assert np.abs(got - faces)[:, radius_of() > 1.0].max() <= 1
    plain = np.full((1, 128, 128, 3), 90, np.uint8)
    assert np.abs(sharpen(plain, [9.0]).astype(int) - plain).max() <= 1


def test_nothing_under_the_ellipse_shapes_the_hues():
    old, new = crop(0), crop(5)
    other = old.copy()
    other[0][minimum_interior(128)] = 255 - old[0][minimum_interior(128)]
    assert (clamp_chroma(new, old) == clamp_chroma(new, other)).all()
