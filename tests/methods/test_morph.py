"""The morphable face: what is drawn once, what moves it, and what it may know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import TEXTURE, load
from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from stream_anon.config import MethodConfig
from stream_anon.geometry import MASK_CENTRE, TEMPLATE
from stream_anon.methods.base import Subject
from stream_anon.methods.generative.eligibility import (
    LEAST_SCORE,
    WIDEST_CROP,
    WIDEST_MESHED,
    EligibilityFilter,
)
from stream_anon.methods.generative.networks import prior_codes
from stream_anon.methods.identity import Identity
from stream_anon.methods.morph import MOST_TILT, READ_EVERY, READ_FIRST, Morph, shown_mouth, tilted
from stream_anon.methods.morph_warp import where
from stream_anon.methods.openings import lids
from tests.fakes import STATES, state
from tests.models.test_mesh_measures import rotation
from tests.privacy.tools import fixed


def mesh(yaw: float = 0.0, shift=(0.0, 0.0), scale: float = 0.8, change=None) -> np.ndarray:
    shape = mesh_measures.mean_mesh() if change is None else mesh_measures.mean_mesh() + change
    placed = scale * shape @ rotation(yaw, 0, 0).T + [*MASK_CENTRE, 0.0]
    placed[:, :2] += shift
    return placed.astype(np.float32)


def subject(points, track: int = 1) -> Subject:
    return Subject(state(track), None, 90.0, 0.9, 0.0, None, points, 1.0)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return prior_codes(6, np.random.default_rng(0))


def drawn(level: float = 128.0) -> np.ndarray:
    return np.full((1, 128, 128, 3), level, np.uint8)


def painted(morph: Morph, code, points, level: float = 128.0, track: int = 1) -> np.ndarray:
    morph.read(drawn(level), code[None], [subject(points, track)])
    return morph(drawn(level), [subject(points, track)], 1.0)[0]


def test_a_share_of_the_painting_lies_over_the_drawing(codes):
    morph = Morph()
    whole = painted(morph, codes[0], mesh()).astype(int)
    face = drawn(128.0)[0].astype(int)

    def shown(share):
        return morph(drawn(128.0), [subject(mesh(), 1)], 1.0, share)[0].astype(int)

    assert np.array_equal(shown(0.0), face)
    assert np.array_equal(shown(1.0), whole)
    assert np.abs(shown(0.5) * 2 - face - whole).max() <= 3
    assert np.abs(whole - face).max() > 20


def test_a_code_decides_who_is_painted_and_the_same_one_paints_the_same(codes):
    faces = [painted(Morph(), code, mesh()) for code in codes]
    again = painted(Morph(), codes[0], mesh())
    assert np.array_equal(faces[0], again)
    apart = [np.abs(faces[0].astype(int) - f).mean() for f in faces[1:]]
    assert min(apart) > 1.0


def test_the_light_is_that_of_the_drawing(codes):
    """Nothing of the video's face but what the generator was told decides tone and light."""
    dark, bright = (painted(Morph(), codes[0], mesh(), level) for level in (50.0, 190.0))
    inside = (slice(60, 90), slice(50, 78))
    assert dark[inside].mean() < 75
    assert bright[inside].mean() > 2 * dark[inside].mean()


@settings(max_examples=20, deadline=None)
@given(st.floats(-45.0, 45.0), st.floats(-8.0, 8.0), st.floats(0.6, 1.0))
def test_texels_are_found_where_the_mesh_is(yaw, x, scale):
    model = load()
    points = mesh(yaw, (x, 3.0), scale)
    texels = where(model, points)
    assert texels is not None
    towards = []
    for vertex in range(0, 468, 7):
        place = (points[vertex, :2] + 0.5) * (96 / 128) - 0.5
        px, py = np.rint(place).astype(int)
        if not (2 <= px < 94 and 2 <= py < 94) or texels[2][py, px] < 0.9:
            continue
        found = np.array([plane[py, px] for plane in texels[:2]])
        towards.append(np.hypot(*(found - model.model.places[vertex])))
    assert len(towards) > 25
    # A cell of the map is about two texels wide on a frontal face, four on a turned one.
    assert np.median(towards) < 3.0


def test_outside_the_mesh_nothing_is_painted(codes):
    face = painted(Morph(), codes[0], mesh())
    assert (face[:20] == 128).all()
    assert (face[:, :20] == 128).all()
    assert (face[122:] == 128).all()


def test_a_profile_is_left_to_the_drawing(codes):
    assert np.array_equal(painted(Morph(), codes[0], mesh(80.0)), drawn()[0])


def test_a_mouth_that_opens_opens(codes):
    morph = Morph()
    mean = mesh_measures.mean_mesh()
    between = np.mean([mean[list(side), 1].mean() for side in INNER_LIPS])
    jaw = (mean[:, 1] > between) & (np.abs(mean[:, 0]) < 24)
    jaw[list(INNER_LIPS[0])] = False
    jaw[list(INNER_LIPS[1][1:-1])] = True
    openings = []
    for gap in (0.0, 4.0, 10.0):
        change = np.zeros((468, 3))
        change[jaw, 1] += gap
        moved, _, _ = morph.moved(mesh(change=change), np.zeros((468, 3), np.float32))
        openings.append(float(mesh_measures.mouth_opening(moved[None])[0]))
    assert openings[0] < openings[1] < openings[2]
    wanted = mesh_measures.mouth_opening((mean + change)[None])[0]
    assert openings[2] == pytest.approx(shown_mouth(wanted), abs=0.03), "as far as the video's"
    # Narrow gaps are widened, since they are closed again when they are drawn; wide ones are not.
    gains = [shown_mouth(x) / x for x in (0.01, 0.1, 0.8)]
    assert gains == pytest.approx([1.95, 1.61, 1.02], abs=0.01)


def test_of_the_old_face_only_few_numbers_shape_the_new_one():
    """Two meshes that differ orthogonally to place, size, turn and expression move alike."""
    morph = Morph()
    rng = np.random.default_rng(2)
    change = rng.standard_normal((468, 3)) * 0.4
    basis = [*morph.model.model.expression[:6].astype(np.float64)]
    mean = mesh_measures.mean_mesh()
    for k in range(3):
        unit = np.zeros((468, 3))
        unit[:, k] = 1.0
        basis.append(unit.ravel())
        basis.append(np.cross(mean, np.eye(3)[k]).ravel())
    basis.append(mean.ravel())
    q, _ = np.linalg.qr(np.stack(basis).T)
    for contours in (INNER_LIPS, RIGHT_EYE, LEFT_EYE):  # openings are told
        change[[k for side in contours for k in side]] = 0.0
    change[list(MOUTH_CORNERS)] = 0.0
    change -= (q @ (q.T @ change.ravel())).reshape(468, 3)
    zero = np.zeros((468, 3), np.float32)
    one, _, _ = morph.moved(mesh(), zero)
    other, _, _ = morph.moved(mesh(change=change), zero)
    assert np.abs(one - other).max() < 0.25
    assert np.abs(0.8 * change).max() > 0.8


def test_close_ups_get_more_pixels(codes):
    morph = Morph()
    morph.read(drawn(), codes[:1], [subject(mesh())])
    assert morph(drawn(), [subject(mesh())], 1.0).shape == (1, 128, 128, 3)
    assert morph(drawn(), [subject(mesh())], 2.0).shape == (1, 256, 256, 3)
    assert morph(drawn(), [subject(mesh())], 3.0).shape == (1, 384, 384, 3)


def test_a_track_that_ended_is_forgotten(codes):
    morph = Morph()
    first = painted(morph, codes[0], mesh())
    STATES.end(1)
    assert np.array_equal(morph(drawn(), [subject(mesh())], 1.0)[0], drawn()[0])
    assert not np.array_equal(first, drawn()[0])


def test_the_method_renders_with_and_without_a_mesh():
    # Codes are drawn: of a crop that shows nothing one drawing or other is too flat. Not these.
    method = Identity(MethodConfig(name="identity", mesh=True), random=fixed(1))
    crop = np.random.default_rng(0).integers(90, 140, (6, 128, 128, 3), dtype=np.uint8)
    from stream_anon.methods.generative.bottleneck import WIDE_TEMPLATE

    points = WIDE_TEMPLATE.astype(np.float64)
    for known in (None, mesh()):
        people = [
            Subject(state(track), points, 90.0, 0.9, 0.0, None, known, 1.0) for track in range(6)
        ]
        rendered = method.render(crop, people)
        assert rendered.crops.shape == (6, 128, 128, 3)
        assert not rendered.declined.any()
    method.close()


def test_textures_are_whole(codes):
    model = load()
    texture, identity = model.coefficients(codes[0])
    frame = model.image(model.texture(texture) + model.told(model.model.tone_mean))
    assert frame.shape == (TEXTURE, TEXTURE, 3)
    assert np.isfinite(frame).all()
    assert np.isfinite(model.shape(identity)).all()
    draws = np.stack([np.concatenate(model.coefficients(c)) for c in prior_codes(
        300, np.random.default_rng(1))])
    assert 0.7 < draws.std(axis=0).mean() < 1.5, "draws vary as people do"


def test_presence_decides_whether_a_face_is_drawn_and_a_turn_replaces_the_landmarks_word():
    from stream_anon.methods.generative.bottleneck import WIDE_TEMPLATE
    from stream_anon.methods.generative.eligibility import EligibilityFilter

    points = WIDE_TEMPLATE.astype(np.float64)
    flat = points.copy()
    flat[2, 0] += 30.0  # the landmarks alone say profile

    def fit(landmarks, presence, known) -> bool:
        one = Subject(state(1), landmarks, 90.0, 0.9, 0.0, None, known, presence)
        return not EligibilityFilter(24.0).declined([one])[0]

    assert fit(points, None, None)
    assert fit(points, 0.9, mesh())
    assert not fit(points, 0.1, None), "a coat of arms"
    assert not fit(flat, None, None)
    assert fit(flat, 0.9, mesh(40.0))
    assert not fit(points, 0.9, mesh(70.0))


def test_one_lucky_look_turns_no_cover_into_a_face():
    from stream_anon.methods.generative.bottleneck import WIDE_TEMPLATE

    points = WIDE_TEMPLATE.astype(np.float64)

    def drawn(presences) -> list[bool]:
        known = EligibilityFilter(24.0)
        return [
            not known.declined([Subject(state(1), points, 42.0, 0.7, 0.0, None, None, one)])[0]
            for one in presences
        ]

    # A track's presence takes half of each look: one good look after none gives 0.5.
    assert drawn([0.02, 0.5, 0.25, 0.12]) == [False] * 4
    assert drawn([0.02, 0.5, 0.75, 0.5, 0.25]) == [False, False, True, True, False]
    assert drawn([0.5, 0.4]) == [True, True], "a face from the first"


def test_where_a_mesh_is_sure_a_frame_of_little_confidence_is_drawn_all_the_same():
    from stream_anon.methods.generative.bottleneck import WIDE_TEMPLATE

    points = WIDE_TEMPLATE.astype(np.float64)
    for presence, fit in ((None, False), (0.5, False), (0.95, True)):
        unsure = Subject(state(1), points, 90.0, LEAST_SCORE - 0.05, 0.0, None, mesh(), presence)
        known = EligibilityFilter(24.0)
        known.declined([replace(unsure, score=0.9)])
        assert known.declined([unsure]).tolist() == [not fit], presence
        # What never was more than a faint find may be a chin that is taken for a second face.
        assert EligibilityFilter(24.0).declined([unsure]).tolist() == [True]
        STATES.end(1)
        ended = replace(unsure, state=state(1))
        assert known.declined([ended]).tolist() == [True]


def test_a_small_face_in_a_wide_crop_is_drawn_where_a_mesh_says_where_it_is():
    for factor, meshed, fit in (
        (0.97 * WIDEST_CROP, False, True),
        (1.03 * WIDEST_CROP, False, False),
        (1.03 * WIDEST_CROP, True, True),
        (1.03 * WIDEST_MESHED, True, False),
    ):
        points = (TEMPLATE - np.array(MASK_CENTRE)) / factor + np.array(MASK_CENTRE)
        known = mesh(scale=1.0 / factor) if meshed else None
        one = Subject(state(1), points, 90.0, 0.9, 0.0, None, known, 1.0 if meshed else None)
        assert EligibilityFilter(24.0).declined([one]).tolist() == [not fit], (factor, meshed)


def test_who_bows_the_head_looks_down(codes):
    """The same eyes, as a mesh has them: in a bowed head their lids are lower."""
    morph = Morph()
    level, bowed, raised = (
        (0.8 * mesh_measures.mean_mesh() @ rotation(0, pitch, 0).T + [*MASK_CENTRE, 0.0])
        for pitch in (0.0, -20.0, 20.0)
    )
    looks = [mesh_measures.direction(one.astype(np.float32)) for one in (level, bowed, raised)]
    low, high = sorted(looks, key=lambda one: one.pitch)[::2]
    assert low.pitch < -15.0 < 15.0 < high.pitch
    offset = np.zeros((468, 3), np.float32)
    found = {
        look.pitch: morph.moved(points.astype(np.float32), offset)[2]
        for look, points in zip(looks, (level, bowed, raised), strict=True)
    }
    for eye in (1, 2):
        assert found[low.pitch][eye] < found[looks[0].pitch][eye] - 0.05
        assert found[high.pitch][eye] == pytest.approx(found[looks[0].pitch][eye], abs=0.01)
    assert found[low.pitch][0] == pytest.approx(found[looks[0].pitch][0], abs=0.01), "no mouth"


def test_over_shut_eyes_the_painting_alone_is_shown():
    """A generator's drawing, which shows through elsewhere, has them open."""
    points = mesh()
    eyes = [points[[k for side in eye for k in side], :2].mean(axis=0) for eye in (
        RIGHT_EYE, LEFT_EYE)]
    found = lids(points, (1.0, 0.4), 128)
    for (x, y), amount in zip(np.rint(eyes).astype(int), (1.0, 0.4), strict=True):
        assert found[y, x] == pytest.approx(amount, abs=0.02)
        assert found[y + 20, x] == 0.0, "no cheek"
    assert lids(points, (0.0, 0.0), 128).max() == 0.0


def test_closed_eyes_come_out_closed(codes):
    morph = Morph()
    code, points = codes[1], mesh()
    morph.read(drawn(170.0), code[None], [subject(points)])
    paint = morph._people.get(state(1)).paint
    assert paint.at((0.0, 0.0, 0.0)) is paint.open
    shut = paint.at((0.0, 1.0, 1.0))
    for rows, columns, _ in paint.closed[1:]:
        before = paint.open[rows, columns, :3].astype(int)
        after = shut[rows, columns, :3].astype(int)
        assert np.abs(before - after).mean() > 5.0
        # Skin in the middle, where an iris was.
        y, x = before.shape[0] // 2, before.shape[1] // 2
        middle = (slice(y - 2, y + 3), slice(x - 2, x + 3))
        assert after[middle].mean() > before[middle].mean() + 20.0
    rows, columns, _ = paint.closed[0]
    assert np.array_equal(shut[rows, columns], paint.open[rows, columns])


@pytest.mark.parametrize("pose", [(0.0, 0.0), (25.0, 5.0), (-30.0, -10.0)])
@pytest.mark.parametrize("tilt", [(6.0, 0.0), (0.0, -8.0), (-5.0, 4.0), (0.0, 0.0)])
def test_a_tilt_is_a_turn_of_so_many_degrees(pose, tilt):
    before = rotation(*pose, 0.0)
    after = tilted(before, np.array(tilt))
    np.testing.assert_allclose(after @ after.T, np.eye(3), atol=1e-9)
    seen = [mesh_measures.direction_of(r) for r in (before, after)]
    assert seen[1].yaw - seen[0].yaw == pytest.approx(tilt[0], abs=1e-6)
    assert seen[1].pitch - seen[0].pitch == pytest.approx(tilt[1], abs=1e-6)


def test_a_new_face_that_looks_past_the_old_one_is_turned_back(codes):
    """What the mesh network finds on a drawing is off by as much each time: it is corrected."""
    morph = Morph()
    people = [subject(mesh(10.0))]
    morph.read(drawn(), codes[:1], people)
    person = morph._people.get(state(1))
    assert person is not None
    sure = np.ones(1, np.float32)
    for _ in range(12):
        shown, amount, _ = morph.moved(people[0].mesh, person.offset, person.tilt)
        assert amount == 1.0
        turned = mesh_measures.rigid(shown[None], morph.model.model.mean)[0][0]
        # This person seems to look 7 degrees further to the right and 5 lower than painted.
        seen = tilted(turned, np.array([7.0, -5.0]))
        found = (mesh_measures.mean_mesh() @ seen.T).astype(np.float32)
        morph.correct(found[None], sure, people)
        direction = mesh_measures.direction_of(seen)
    assert direction.yaw == pytest.approx(mesh_measures.direction(people[0].mesh).yaw, abs=0.5)
    assert direction.pitch == pytest.approx(0.0, abs=0.5)
    tilt = person.tilt.copy()
    morph.correct(found[None] @ rotation(40.0, 0, 0).astype(np.float32), 0.0 * sure, people)
    assert np.array_equal(tilt, person.tilt), "what shows no face says nothing"
    for _ in range(40):
        morph.correct((mesh_measures.mean_mesh() @ rotation(80, 0, 0).T)[None], sure, people)
    assert np.abs(person.tilt).max() <= MOST_TILT


def test_what_a_generator_starts_from_is_what_is_painted_over_its_drawing(codes):
    morph = Morph()
    people = [subject(mesh()), Subject(state(2), None, 90.0, 0.9, 0.0, None, None, None)]
    assert not morph.drawings(people).any()
    assert morph.unread(people).tolist() == [True, False]
    morph.read(drawn(), codes[:1], people[:1])
    drawings = morph.drawings(people)
    assert drawings.shape == (2, 128, 128, 4)
    assert not drawings[1].any()
    shown = morph(drawn(), people[:1], 1.0)[0]
    firm = drawings[0, ..., 3] == 255
    assert firm.sum() > 800
    apart = np.abs(shown.astype(int) - drawings[0, ..., :3]).max(axis=2)
    assert apart[firm].max() <= 1
    assert np.array_equal(shown[drawings[0, ..., 3] == 0], drawn()[0][drawings[0, ..., 3] == 0])
    # Light is read at the start of a track, then now and then.
    due = [bool(morph.unread(people)[0]) for _ in range(3 * READ_EVERY)]
    assert due[:READ_FIRST] == [True] * READ_FIRST
    assert sum(due[READ_FIRST:]) in (2, 3)


def test_the_judge_sees_drawings_and_nothing_of_the_frame():
    method = Identity(MethodConfig(name="identity", mesh=True), random=fixed(1))
    seen = []

    def judge(faces):
        seen.append(faces.copy())
        return np.repeat(mesh()[None], len(faces), axis=0), np.ones(len(faces), np.float32)

    method.judge_with(judge)
    from stream_anon.methods.generative.bottleneck import WIDE_TEMPLATE, minimum_mask

    points = WIDE_TEMPLATE.astype(np.float64)
    crop = np.random.default_rng(0).integers(90, 140, (1, 128, 128, 3), dtype=np.uint8)
    method.render(crop, [Subject(state(1), points, 90.0, 0.9, 0.0, None, mesh(), 1.0)])
    method.close()
    assert [faces.shape for faces in seen] == [(1, 128, 128, 3)]
    inside = minimum_mask()
    # Drawings differ from the crop's noise nearly everywhere: none of it went through.
    assert (seen[0][0][inside] != crop[0][inside]).any(axis=1).mean() > 0.9
    levels = [part[inside].astype(float) for part in (seen[0][0], crop[0])]
    apart = [part - part.mean(axis=0) for part in levels]
    assert abs((apart[0] * apart[1]).mean() / apart[0].std() / apart[1].std()) < 0.05
