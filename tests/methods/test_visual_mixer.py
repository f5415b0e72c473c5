from __future__ import annotations

import numpy as np
import pytest

from stream_anon.errors import MethodFault, UsageError
from stream_anon.methods.base import Subject
from stream_anon.methods.visual_mixer import VisualMixer
from stream_anon.privacy.randomness import RandomnessError, SecureRandom
from stream_anon.visual_mixer.mix import vfe
from tests.fakes import STATES, state
from tests.visual_mixer.scenes import scene


def subject(track: int, size: float = 200.0) -> Subject:
    return Subject(state(track), landmarks=None, size=size, score=0.9)


@pytest.fixture
def method():
    made = VisualMixer(vfe=90.0)
    yield made
    made.close()


def test_one_permutation_for_a_track_and_another_for_the_next(method):
    face = scene(112, 112, 1)
    first = method.render(face[None], [subject(1)]).crops[0]
    again = method.render(face[None], [subject(1)]).crops[0]
    other = method.render(face[None], [subject(2)]).crops[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert abs(vfe(first) / 90.0 - 1) < 0.02


def test_a_later_face_of_the_track_moves_by_the_same_permutation(method):
    face, later = scene(112, 112, 1), scene(112, 112, 2)
    method.render(face[None], [subject(1)])
    mixed = method.render(later[None], [subject(1)]).crops[0]
    # A pixel's values stay together whatever the face: compare the colours of one region.
    assert not np.array_equal(mixed, later)
    region = (slice(16, 32), slice(32, 48))
    assert np.array_equal(np.sort(mixed[region].ravel()), np.sort(later[region].ravel()))


def test_a_forgotten_track_gets_a_fresh_permutation(method):
    face = scene(112, 112, 1)
    first = method.render(face[None], [subject(1)]).crops[0]
    STATES.end(1)
    assert not np.array_equal(first, method.render(face[None], [subject(1)]).crops[0])
    STATES.end(77)


def test_two_methods_never_share_a_permutation():
    face = scene(112, 112, 1)
    a, b = (VisualMixer(90.0).render(face[None], [subject(1)]).crops[0] for _ in range(2))
    assert not np.array_equal(a, b)


def test_a_small_face_is_mixed_on_a_coarse_grid(method):
    face = scene(112, 112, 1)
    mixed = method.render(face[None], [subject(1, size=36.0)]).crops[0]
    assert mixed.shape == face.shape
    # 36 px of face are 48 px of frame: at most 48 different rows.
    assert len(np.unique(mixed.reshape(112, -1), axis=0)) <= 48


def test_several_faces_of_one_image(method):
    faces = np.stack([scene(112, 112, n) for n in range(3)])
    crops = method.render(faces, [subject(n) for n in range(3)]).crops
    assert crops.shape == faces.shape
    for before, after in zip(faces, crops, strict=True):
        assert (before == after).mean() < 0.5


def test_after_close_nothing_is_rendered():
    made = VisualMixer(90.0, random=SecureRandom())
    made.render(scene(112, 112, 1)[None], [subject(1)])
    made.close()
    with pytest.raises(RandomnessError):
        made.render(scene(112, 112, 1)[None], [subject(1)])


def test_the_permutation_is_overwritten_when_the_track_ends(method):
    method.render(scene(112, 112, 1)[None], [subject(1)])
    index = method._shuffles.get(state(1)).index
    STATES.end(1)
    assert not index.any()


@pytest.mark.parametrize(
    "options", [{"vfe": 0.0}, {"vfe": -3.0}, {"crop_size": 100}, {"crop_size": 16}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError):
        VisualMixer(**options)


def test_crops_of_another_size_are_a_fault(method):
    with pytest.raises(MethodFault):
        method.render(np.zeros((1, 64, 64, 3), np.uint8), [subject(1)])


def test_it_warns_of_lossy_codecs(method):
    assert "lossy" in method.warning()
