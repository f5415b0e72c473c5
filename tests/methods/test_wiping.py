"""What a method keeps of a person is overwritten or dropped when the track or the run ends."""

from __future__ import annotations

import pytest

from stream_anon.methods.visual_mixer import VisualMixer
from stream_anon.privacy import SecureRandom
from stream_anon.privacy.randomness import KEY_BYTES, RandomnessError
from tests.fakes import STATES, state
from tests.methods.test_generative import Drawn, Hues, crop, person, subject
from tests.visual_mixer.scenes import scene


class Remembers(Hues):
    """Keeps hold of the arrays that its encoder answered with."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.answers = []

    def encode(self, crops, landmarks):
        self.answers.append(super().encode(crops, landmarks))
        return self.answers[-1]


def test_a_clear_code_is_overwritten_when_its_release_is_drawn():
    method = Remembers("privunit", epsilon=8.0)
    method.render(person(0), [subject(1)])
    assert method.answers
    assert not any(code.any() for code in method.answers)
    assert method.codes[0].any()


def test_when_the_run_ends_codes_releases_and_keys_are_gone():
    random = SecureRandom()
    method = Hues()
    method._random = random
    drawn_from = method._releases._rng
    method.render(person(0), [subject(1)])
    method.close()
    for rng in (random, drawn_from):
        assert bytes(rng._key) == bytes(KEY_BYTES)
        with pytest.raises(RandomnessError):
            rng.bytes(1)
    with pytest.raises(RandomnessError):
        method.render(crop(), [subject(2)])


def test_when_a_track_ends_nothing_of_it_is_kept():
    method = Drawn("privunit", epsilon=8.0)
    method.render(crop(), [subject(1)])
    method.render(crop(), [subject(2)])
    kept = (method._releases._held, method._blender._last, method._levels)
    assert all(part.get(state(1)) is not None for part in kept)
    STATES.end(1)
    assert all(part.get(state(1)) is None for part in kept)
    assert all(part.get(state(2)) is not None for part in kept)


def test_the_shuffle_s_key_goes_with_the_run():
    random = SecureRandom()
    method = VisualMixer(90.0, random=random)
    method.render(scene(112, 112, 1)[None], [subject(1)])
    index, own = method._shuffles.get(state(1)).index, method._random
    STATES.end(1)
    method.close()
    assert not index.any()
    assert bytes(own._key) == bytes(KEY_BYTES)
    assert own.closed
