"""A ledger of a run that takes months: bounded, and still nobody is released twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.pipeline.manifest import _together
from stream_anon.privacy import (
    Independent,
    Ledger,
    ReleaseError,
    Releases,
    UniformPrior,
    read_report,
)
from stream_anon.privacy.ledger import MOST_RANGES, _Numbers
from stream_anon.track_state import TrackState


def releases(most: int) -> Releases:
    return Releases(Independent(UniformPrior(4)), ledger=Ledger(most))


def test_what_has_ended_is_folded_and_what_is_shown_is_not():
    made, shown = releases(10), TrackState(1)
    made.of(shown, time=0.0)
    for track in range(2, 200):
        state = TrackState(track)
        made.of(state, time=float(track))
        state.close()
    made.of(shown, time=500.0)
    report = made.ledger.to_json()
    assert len(report["tracks"]) <= 11
    assert len(made.ledger) == 199
    line = next(line for line in report["tracks"] if line["track"] == 1)
    assert (line["first"], line["last"]) == (0.0, 500.0)
    (folded,) = report["folded"]
    assert folded["tracks"] + len(report["tracks"]) == 199
    assert folded["first"] == 2.0
    assert folded["mechanism"] == line["mechanism"]
    assert read_report({"privacy": json.loads(json.dumps(report))}) == report


def test_whoever_was_folded_is_never_released_again():
    made = releases(3)
    for track in range(1, 50):
        state = TrackState(track)
        made.of(state)
        state.close()
    for track in range(1, 50):
        with pytest.raises(ReleaseError, match="has ended"):
            made.of(TrackState(track))


def test_nobody_is_folded_who_has_not_ended():
    made = releases(3)
    for track in range(1, 50):
        made.of(TrackState(track))
    assert len(made.ledger.to_json()["tracks"]) == 49


@given(st.lists(st.integers(1, 60)))
def test_numbers_are_a_set(numbers):
    made = _Numbers()
    for number in numbers:
        made.add(number)
    assert [n for n in range(70) if n in made] == sorted(set(numbers))


def test_too_many_ranges_hold_more_and_never_less():
    made = _Numbers()
    for number in range(0, 10 * MOST_RANGES, 2):
        made.add(number)
    assert len(made._starts) <= MOST_RANGES
    assert all(number in made for number in range(0, 10 * MOST_RANGES, 2))
    assert 10 * MOST_RANGES - 3 not in made


def test_ledgers_of_several_methods_are_put_together_and_old_ones_are_read():
    ledgers = []
    for _ in range(2):
        made = releases(2)
        for track in range(1, 9):
            state = TrackState(track)
            made.of(state)
            state.close()
        ledgers.append(made.ledger.to_json())
    assert len(_together(ledgers)["folded"]) == 2
    old = {k: v for k, v in ledgers[0].items() if k != "folded"}
    assert read_report({"privacy": old})["folded"] == []
