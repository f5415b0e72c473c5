"""What a method keeps of a person is overwritten or dropped when the track or the run ends."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.methods.pseudonyms import Pseudonyms
from stream_anon.methods.visual_mixer import VisualMixer
from stream_anon.privacy import SecureRandom
from stream_anon.privacy.randomness import KEY_BYTES, RandomnessError
from tests.kernels.pictures import scene
from tests.methods.test_coded import Drawn, Hues, crop, person, subject


def unit(seed):
    code = np.random.default_rng(seed).normal(size=8)
    return code / np.linalg.norm(code)


def test_clear_codes_of_people_are_overwritten():
    people = Pseudonyms()
    people.remember(1, unit(1), object())
    people.remember(2, unit(2), object())
    kept = [person.code for person in people._people]
    people.clear()
    assert all(not code.any() for code in kept)
    assert people.find(unit(1)) is None


def test_a_code_that_moves_leaves_no_copy_behind():
    people, release = Pseudonyms(), object()
    people.remember(1, unit(1), release)
    (first,) = (person.code for person in people._people)
    people.remember(2, unit(2), release)
    assert people._people[0].code is first
    assert np.linalg.norm(first) == pytest.approx(1.0)
    people.clear()
    assert not first.any()


def test_a_code_that_is_kept_is_a_copy_of_the_one_that_was_given():
    people, given = Pseudonyms(), unit(1)
    people.remember(1, given, object())
    people.clear()
    assert given.any()


class Remembers(Hues):
    """Keeps hold of the arrays that its encoder answered with."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.answers = []

    def encode(self, crops, landmarks):
        self.answers.append(super().encode(crops, landmarks))
        return self.answers[-1]


@pytest.mark.parametrize(
    "options", [{"pseudonyms": True}, {"kind": "privunit", "epsilon": 8.0}], ids=str
)
def test_a_clear_code_is_overwritten_when_its_release_is_drawn(options):
    method = Remembers(**options)
    method.render(person(0), [subject(1)])
    assert method.answers
    assert not any(code.any() for code in method.answers)
    assert method.codes[0].any()


def test_when_the_run_ends_codes_releases_and_keys_are_gone():
    random = SecureRandom()
    method = Hues(pseudonyms=True)
    method._random = random
    drawn_from = method._releases._rng
    method.render(person(0), [subject(1)])
    clear = [one.code for one in method._people._people]
    method.close()
    assert clear
    assert all(not code.any() for code in clear)
    assert method._releases.get(1) is None
    assert not method._steady._last
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
    method.forget(1)
    assert method._releases.get(1) is None
    assert method._releases.get(2) is not None
    assert set(method._steady._last) == {2}
    assert set(method._levels) == {2}


def test_the_shuffle_s_key_goes_with_the_run():
    random = SecureRandom()
    method = VisualMixer(90.0, random=random)
    method.render(scene(112, 112, 1)[None], [subject(1)])
    index, own = method._tracks[1].index, method._random
    method.close()
    assert not index.any()
    assert bytes(own._key) == bytes(KEY_BYTES)
    assert own.closed
    assert not method._tracks
