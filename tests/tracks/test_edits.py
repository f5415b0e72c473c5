"""What edits make of regions: pure functions, and nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream_anon.errors import TracksError
from stream_anon.regions import Region, bounds, check_polygon, holds
from stream_anon.tracks.edits import active, at, check, next_track, resolve
from stream_anon.tracks.lines import Change, EditLine
from stream_anon.tracks.reader import TracksFile
from stream_anon.tracks.summary import summaries, together
from stream_anon.tracks.writer import append
from tests.tracks.tools import face, header, regions, two_people

CHANGE = TypeAdapter(Change)


def edits(*changes):
    return tuple(
        EditLine(
            number=number,
            author="anna",
            time="2026-11-21T12:00:00+00:00",
            change=CHANGE.validate_python(change),
            previous="0" * 64,
        )
        for number, change in enumerate(changes, 1)
    )


def drawn(track, start=0.0, end=1.0, **rest):
    box = (10.0, 10.0, 50.0, 50.0)
    return {
        "verb": "add", "track": str(track), "stream": "0", "start": start, "end": end,
        "keyframes": ((start, box),), **rest,
    }  # fmt: skip


SQUARE = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))


def zone(track, mode="never", polygon=SQUARE, **rest):
    return {
        "verb": "zone", "track": str(track), "stream": "0", "mode": mode, "polygon": polygon,
        "reason": "a poster", **rest,
    }  # fmt: skip


FRAME = regions(5, face(1), face(2, 200.0))


def by_track(resolved):
    return {item.track: item for item in resolved.items}


def test_without_edits_nothing_changes():
    assert resolve(FRAME, 0.2, ()) is not None
    assert resolve(FRAME, 0.2, ()) == FRAME


def test_keep_needs_the_track_named_and_holds_for_its_span_only():
    kept = edits({"verb": "keep", "track": "2", "reason": "consent", "start": 0.1, "end": 0.3})
    for seconds, reason in ((0.0, None), (0.1, "consent"), (0.3, "consent"), (0.31, None)):
        assert by_track(resolve(FRAME, seconds, kept))["2"].kept == reason
        assert by_track(resolve(FRAME, seconds, kept))["1"].kept is None


@pytest.mark.parametrize("reason", [None, "", "  ", "two\nlines"])
def test_nothing_is_left_visible_without_a_reason(reason):
    for change in ({"verb": "keep", "track": "2", "reason": reason}, zone(3, reason=reason)):
        with pytest.raises(ValueError):
            CHANGE.validate_python(change)


def test_a_track_merged_into_a_visible_one_afterwards_stays_covered():
    chain = edits(
        {"verb": "keep", "track": "1", "reason": "consent"},
        {"verb": "merge", "tracks": ("2",), "into": "1"},
    )
    alone = regions(5, face(2, 200.0))
    assert by_track(resolve(alone, 0.2, chain))["1"].kept is None
    other_way = (chain[1], chain[0])
    assert by_track(resolve(alone, 0.2, other_way))["1"].kept == "consent"


def test_tracks_in_one_frame_are_not_made_one():
    merged = resolve(FRAME, 0.2, edits({"verb": "merge", "tracks": ("2",), "into": "1"}))
    assert [item.track for item in merged.items] == ["1", "2"]


def test_a_split_begins_a_track():
    split = edits({"verb": "split", "track": "1", "at": 0.2, "into": "3"})
    assert set(by_track(resolve(FRAME, 0.199, split))) == {"1", "2"}
    assert set(by_track(resolve(FRAME, 0.2, split))) == {"3", "2"}


def test_a_zone_that_is_never_painted_takes_what_lies_wholly_inside():
    assert by_track(resolve(FRAME, 0.2, edits(zone(3))))["1"].kept == "a poster"
    half = ((0.0, 0.0), (50.0, 0.0), (50.0, 100.0), (0.0, 100.0))
    assert by_track(resolve(FRAME, 0.2, edits(zone(3, polygon=half))))["1"].kept is None
    assert by_track(resolve(FRAME, 0.2, edits(zone(3))))["2"].kept is None


def test_what_was_drawn_by_hand_is_painted_whatever_a_zone_says():
    resolved = resolve(FRAME, 0.2, edits(drawn(3), zone(4)))
    assert by_track(resolved)["3"].kept is None
    resolved = resolve(FRAME, 0.2, edits(zone(4, "always"), zone(5)))
    assert by_track(resolved)["4"].kept is None
    assert by_track(resolved)["4"].polygon == SQUARE


def test_edits_of_another_stream_do_not_touch_this_one():
    other = edits({**drawn(3), "stream": "1"}, {**zone(4), "stream": "1"})
    assert resolve(FRAME, 0.2, other) == FRAME


def test_an_undone_undo_counts_again():
    chain = edits(
        {"verb": "keep", "track": "2", "reason": "consent"},
        {"verb": "undo", "edit": 1},
        {"verb": "undo", "edit": 2},
        {"verb": "undo", "edit": 3},
    )
    assert [edit.number for edit in active(chain[:1])] == [1]
    assert [edit.number for edit in active(chain[:2])] == []
    assert [edit.number for edit in active(chain[:3])] == [1]
    assert [edit.number for edit in active(chain)] == []


def test_a_number_is_never_given_twice():
    assert next_track({"1", "2"}, ()) == 3
    undone = edits(drawn(3), {"verb": "undo", "edit": 1})
    assert next_track({"1", "2"}, undone) == 4
    with pytest.raises(TracksError, match="there already"):
        check(edits(drawn(2)), known(), header())


def known():
    from stream_anon.tracks.edits import Known

    return {"1": Known("0", "face"), "2": Known("0", "face")}


times = st.floats(0, 2)
numbers = st.sampled_from(["1", "2", "3", "4", "5"])
ANY = st.one_of(
    st.builds(lambda t, a, b: {**drawn(t), "start": min(a, b), "end": max(a, b)}, numbers, times,
              times),
    st.builds(lambda t: {"verb": "keep", "track": t, "reason": "why"}, numbers),
    st.builds(lambda t, m: {"verb": "method", "track": t, "method": m}, numbers,
              st.sampled_from(["fill", "blur"])),
    st.builds(lambda t, a, i: {"verb": "split", "track": t, "at": a, "into": i}, numbers, times,
              numbers),
    st.builds(lambda a, b: {"verb": "merge", "tracks": (a,), "into": b}, numbers, numbers)
    .filter(lambda change: change["into"] not in change["tracks"]),
    st.builds(zone, numbers, st.sampled_from(["always", "never"])),
    st.builds(lambda n: {"verb": "undo", "edit": n}, st.integers(1, 8)),
)  # fmt: skip


@st.composite
def chains(draw):
    """Edits as they can be made: each fits those before it."""
    made = []
    for change in draw(st.lists(ANY, max_size=8)):
        try:
            check(edits(*made, change), known(), header())
        except TracksError:
            continue
        made.append(change)
    return edits(*made)


@settings(max_examples=200)
@given(chains(), times)
def test_nothing_is_lost_and_nothing_is_visible_that_no_edit_names(chain, seconds):
    counted = active(chain)
    resolved = resolve(FRAME, seconds, counted)
    # Pure: the same again, and the argument as it was.
    assert resolve(FRAME, seconds, counted) == resolved
    # Every place that was found is still there.
    for item in FRAME.items:
        assert sum(one.box == item.box and one.label == "face" for one in resolved.items) == 1
    verbs = {edit.change.verb for edit in counted}
    visible = [item for item in resolved.items if item.kept is not None]
    if visible:
        assert verbs & {"keep", "zone"}
    for item in visible:
        assert item.kept in ("why", "a poster")
    # What is drawn by hand and holds now is there, whatever else was done.
    for edit in counted:
        if edit.change.verb == "add" and edit.change.start <= seconds <= edit.change.end:
            assert any(item.origin == "edited" for item in resolved.items)


@given(chains())
def test_all_undone_is_as_if_nothing_had_been(chain):
    changes = [edit.change.model_dump() for edit in chain]
    for number in range(len(chain), 0, -1):
        changes.append({"verb": "undo", "edit": number})
    everything = edits(*changes)
    kept = active(everything)
    # Undos within the chain were undone first, so that what they undid was undone after them.
    assert kept == ()


@given(st.lists(st.tuples(times, st.floats(0, 200)), min_size=1, max_size=6), times)
def test_between_keyframes_a_box_goes_straight(frames, seconds):
    unique = dict(frames)
    keyframes = tuple((t, (x, 10.0, x + 20.0, 40.0)) for t, x in sorted(unique.items()))
    add = CHANGE.validate_python({**drawn(3), "start": 0.0, "end": 2.0, "keyframes": keyframes})
    box = at(add, seconds)
    low, high = min(unique.values()), max(unique.values())
    assert low - 1e-9 <= box[0] <= high + 1e-9
    for time, exact in keyframes:
        assert at(add, time) == exact


@pytest.mark.parametrize(
    "corners",
    [
        ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)),
        ((0.0, 0.0), (10.0, 0.0)),
        ((0.0, 0.0), (10.0, 0.0), (20.0, 0.0)),
        ((0.0, 0.0), (10.0, 0.0), (float("nan"), 5.0)),
        ((0.0, 0.0), (10.0, 0.0), (1e9, 5.0)),
    ],
    ids=["crossing", "two corners", "flat", "nan", "far"],
)
def test_a_polygon_that_could_leave_a_hole_is_none(corners):
    with pytest.raises(ValueError):
        check_polygon(corners)
    with pytest.raises(ValueError):
        CHANGE.validate_python(zone(3, polygon=corners))


def test_a_polygon_holds_a_box_only_if_all_of_it():
    # An L: its notch cuts a corner out of a box whose own corners all lie inside.
    notched = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (55.0, 100.0), (50.0, 20.0), (45.0, 100.0))
    notched = (*notched, (0.0, 100.0))
    check_polygon(notched)
    assert not holds(notched, (10.0, 10.0, 90.0, 90.0))
    assert holds(notched, (2.0, 2.0, 40.0, 90.0))
    assert bounds(notched) == (0.0, 0.0, 100.0, 100.0)


def test_a_file_gives_edited_frames_and_where_tracks_end(tmp_path):
    path = two_people(tmp_path / "t.jsonl")
    append(path, "anna", [CHANGE.validate_python(change) for change in (
        {"verb": "split", "track": "1", "at": 0.2, "into": "3"},
        drawn(4, 0.08, 0.16),
        {"verb": "method", "track": "3", "method": "blur"},
    )])  # fmt: skip
    with TracksFile(path) as file:
        ended = {track: n for n in range(10) for track in file.frame("0", n).ended}
        assert ended == {"1": 4, "4": 4, "2": 9, "3": 9}
        found = {one.track: one for one in summaries(file)}
        assert (found["3"].first, found["3"].methods) == (0.2, ["blur"])
        assert (found["4"].frames, found["4"].label) == (3, "region")
        assert (found["1"].smallest, found["1"].largest) == (40.0, 40.0)
        assert file.methods() == ("blur", "fill")
        assert together(file, {"1", "3"}) is None
        assert together(file, {"2", "3"}) == 0.2


def test_a_region_is_what_it_says():
    for wrong in (
        {"track": "x"},
        {"label": "Face"},
        {"box": (1.0, 1.0, 0.0, 2.0)},
        {"score": 2.0},
        {"origin": "here"},
        {"kept": " "},
        {"polygon": SQUARE},
        {"keypoints": ((0.0, 0.0),)},
    ):
        good = {"track": "1", "label": "face", "box": (0.0, 0.0, 1.0, 1.0), "keypoints": None}
        good |= {"score": 0.5, "origin": "held"}
        Region(**good)
        with pytest.raises(ValueError):
            Region(**{**good, **wrong})
    with pytest.raises(ValueError, match="twice"):
        regions(0, face(1), face(1))
