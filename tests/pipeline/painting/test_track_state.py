"""What is kept for a track is one object of the compositor's, and goes as a whole."""

from __future__ import annotations

import gc
import pickle
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.config import FaultConfig
from stream_anon.methods import Fill
from stream_anon.methods.visual_mixer import VisualMixer
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.shapes import SHAPES
from stream_anon.pipeline.painting.targets import Target
from stream_anon.track_state import Part, TrackState, TrackStates
from tests.fakes import MemoryFrame, noise, tracked
from tests.methods.test_generative import Drawn

STOP = FaultConfig(policy="stop")

PLAIN = (bool, int, float, str)
"""Values of which there is one in a process, whoever holds them."""


def compositor() -> Compositor:
    """With everything that keeps something: stabilizer, filter, flow, codes, blending, shuffles."""
    face = Target("face", SHAPES["face"], Drawn())
    return Compositor([face], STOP, others={"visual-mixer": VisualMixer(90.0)})


def faces(alive: list[int]):
    for slot, track in enumerate(alive):
        made = tracked(10 + 105 * slot, 60, 100, track)
        if track % 3 == 0:
            made = type(made)(
                made.track, made.transform, made.box, made.landmarks, "detected", 0.9,
                method="visual-mixer",
            )
        yield made


steps = st.lists(st.sets(st.integers(0, 5), max_size=3), min_size=1, max_size=8)


@settings(deadline=None, max_examples=20)
@given(steps)
def test_after_a_track_ended_nothing_of_it_is_left(shown):
    """Tracks come and go; a slot's track that is gone for a frame has ended."""
    made, numbers, names = compositor(), {}, iter(range(1, 1000))
    for index, slots in enumerate(shown):
        gone = [numbers.pop(slot) for slot in list(numbers) if slot not in slots]
        kept = {track: list(made.states.of(track)._parts.values()) for track in gone}
        ended = [weakref.ref(made.states.of(track)) for track in gone]
        made.end(gone)
        for track in gone:
            assert kept[track], "a face that was painted has left something"
            for value in kept[track]:
                # The list, the loop and the call hold it, and nobody else.
                assert isinstance(value, PLAIN) or sys.getrefcount(value) == 3, type(value)
        kept.clear()
        for slot in slots:
            numbers.setdefault(slot, next(names))
        made.clear(MemoryFrame(noise(), index), list(faces(sorted(numbers.values()))))
        assert len(made.states) == len(numbers), "memory grows with who is there, not with time"
        gc.collect()
        assert [state for state in ended if state() is not None] == []
    made.close()
    assert len(made.states) == 0


def test_an_ended_state_takes_nothing_and_forgets_what_it_had():
    part: Part[list[int]] = Part()
    state = TrackState(4)
    assert part.of(state, list) is part.get(state)
    state.close()
    assert part.get(state) is None
    with pytest.raises(ValueError, match="track 4 has ended"):
        part.put(state, [1])


def test_two_owners_of_one_kind_keep_two_things():
    one: Part[int] = Part()
    other: Part[int] = Part()
    state = TrackState(1)
    one.put(state, 1)
    assert other.get(state) is None
    one.drop(state)
    assert len(state) == 0


def test_what_must_be_wiped_is_wiped_and_a_failing_wipe_keeps_no_other_from_it():
    wiped = []

    def fails(value):
        raise RuntimeError("no such key")

    states = TrackStates()
    Part(wipe=fails).put(states.of(1), "a")
    Part(wipe=wiped.append).put(states.of(1), "b")
    Part(wipe=wiped.append).put(states.of(2), "c")
    with pytest.raises(RuntimeError, match="no such key"):
        states.clear()
    assert wiped == ["b", "c"]
    assert len(states) == 0


def test_a_state_shows_and_pickles_nothing():
    state = TrackState(7)
    Part().put(state, np.full(3, 0.12345))
    assert "0.12345" not in repr(state)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(state)


def test_a_run_that_ends_drops_every_state_before_the_methods_are_closed():
    told = []

    class Noted(Fill):
        kept = Part(wipe=lambda value: told.append(value))

        def render(self, crops, subjects):
            for subject in subjects:
                self.kept.put(subject.state, subject.track)
            return super().render(crops, subjects)

        def close(self):
            told.append("closed")

    made = Compositor(Noted(), STOP)
    made.clear(MemoryFrame(noise()), [tracked(20, 80, 60, 1), tracked(120, 80, 60, 2)])
    made.close()
    made.close()
    assert told == [1, 2, "closed", "closed"]
