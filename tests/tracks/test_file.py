"""A Tracks file gives back what was written, and nothing that was changed."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from stream_anon.errors import GateError, TracksError, UsageError
from stream_anon.regions import FARTHEST, MOST_ITEMS, ORIGINS, Region
from stream_anon.tracks.lines import FrameLine, RegionLine, parse_line, schema
from stream_anon.tracks.origin import read_header
from stream_anon.tracks.reader import TracksFile
from stream_anon.tracks.writer import TracksWriter, append
from tests.tracks.tools import face, forge, header, regions, two_people, write

number = st.floats(-FARTHEST, FARTHEST, allow_nan=False)
point = st.tuples(number, number)


@st.composite
def any_region(draw, track="1"):
    x0, y0 = draw(st.floats(-500, 310)), draw(st.floats(-500, 230))
    x1 = draw(st.floats(max(x0 + 1, 1), 5000))
    y1 = draw(st.floats(max(y0 + 1, 1), 5000))
    points = draw(st.none() | st.tuples(point, point, point, point, point))
    score = draw(st.floats(0, 1))
    return Region(track, "face", (x0, y0, x1, y1), points, score, draw(st.sampled_from(ORIGINS)))


@given(any_region())
def test_a_line_gives_back_every_float_exactly(item):
    one = regions(0, item, ended=("7",), unknown="why not")
    assert parse_line(FrameLine.of(one).to_json()).regions() == one


@pytest.fixture
def path(tmp_path) -> Path:
    return two_people(tmp_path / "t.jsonl")


def test_what_was_written_is_read(path):
    with TracksFile(path) as file:
        assert file.frames("0") == 10
        assert file.raw("0", 4).items == (face(1, 34.0), face(2, 200.0))
        assert file.frame("0", 9).ended == ("1", "2")
        assert file.raw("0", 10) is None
        assert file.raw("1", 0) is None
        assert set(file.tracks) == {"1", "2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_header(path) == header()


def test_the_committed_schema_is_the_one_of_the_code(root):
    committed = json.loads((root / "docs" / "tracks.schema.json").read_text())
    how = "run: python -m stream_anon.tracks.lines > docs/tracks.schema.json"
    assert committed == schema(), how


def test_every_line_keeps_the_schema(path):
    append(path, "anna", every_verb())
    Draft202012Validator.check_schema(schema())
    for line in path.read_text().splitlines():
        jsonschema.validate(json.loads(line), schema())


@pytest.mark.parametrize(
    "spoil",
    [
        {"extra": 1},
        {"kind": "frames"},
        {"index": -1},
        {"index": 1.5},
        {"items": None},
        {"items": [{"track": "one"}]},
    ],
)
def test_the_schema_refuses_what_is_no_line(path, spoil):
    line = json.loads(path.read_text().splitlines()[1])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, **spoil}, schema())


def test_the_origins_of_both_layers_are_the_same():
    assert RegionLine.model_fields["origin"].annotation.__args__ == ORIGINS


def every_verb():
    from pydantic import TypeAdapter

    from stream_anon.tracks.lines import Change

    made = [
        {"verb": "add", "track": "3", "stream": "0", "start": 0.0, "end": 0.4,
         "keyframes": ((0.0, (1.0, 1.0, 9.0, 9.0)), (0.4, (5.0, 5.0, 20.0, 20.0)))},
        {"verb": "keep", "track": "2", "reason": "gave consent"},
        {"verb": "method", "track": "1", "method": "blur"},
        {"verb": "split", "track": "1", "at": 0.2, "into": "4"},
        {"verb": "merge", "tracks": ("4",), "into": "1"},
        {"verb": "zone", "track": "5", "stream": "0", "mode": "never", "reason": "a poster",
         "polygon": ((0.0, 0.0), (50.0, 0.0), (0.0, 50.0))},
        {"verb": "undo", "edit": 2},
    ]  # fmt: skip
    adapter = TypeAdapter(Change)
    return [adapter.validate_python(one) for one in made]


def test_edits_are_appended_with_author_and_time_and_nothing_else_changes(path):
    before = path.read_bytes()
    now = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    append(path, "anna", every_verb()[:2], now)
    append(path, "ben", every_verb()[2:])
    assert path.read_bytes().startswith(before)
    with TracksFile(path) as file:
        assert [edit.author for edit in file.edits] == ["anna"] * 2 + ["ben"] * 5
        assert file.edits[0].time == "2026-11-21T12:30:00+00:00"
        assert [edit.number for edit in file.active] == [1, 3, 4, 5, 6]


WRONG = {
    "no such track": ({"verb": "keep", "track": "9", "reason": "x"}, "no track 9"),
    "number taken": ({"verb": "split", "track": "1", "at": 0.1, "into": "2"}, "there already"),
    "outside": (
        {"verb": "add", "track": "3", "stream": "0", "start": 0.0, "end": 1.0,
         "keyframes": ((0.0, (400.0, 1.0, 500.0, 9.0)),)},
        "outside",
    ),
    "no such stream": (
        {"verb": "add", "track": "3", "stream": "4", "start": 0.0, "end": 1.0,
         "keyframes": ((0.0, (4.0, 1.0, 50.0, 9.0)),)},
        "no video stream 4",
    ),
    "method of faces for a region": (
        {"verb": "zone", "track": "3", "stream": "0", "mode": "always", "method": "identity",
         "polygon": ((0.0, 0.0), (50.0, 0.0), (0.0, 50.0))},
        "faces only",
    ),
    "undo of what is not": ({"verb": "undo", "edit": 8}, "no earlier"),
    "undo of itself": ({"verb": "undo", "edit": 1}, "no earlier"),
    "merge with itself": ({"verb": "merge", "tracks": ("9",), "into": "1"}, "no track 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_edit_that_does_not_fit_is_not_made(path, name):
    from pydantic import TypeAdapter

    from stream_anon.tracks.lines import Change

    change, words = WRONG[name]
    before = path.read_bytes()
    with pytest.raises(TracksError, match=words):
        append(path, "anna", [TypeAdapter(Change).validate_python(change)])
    assert path.read_bytes() == before


def test_an_undo_that_takes_the_ground_from_under_another_edit_is_refused(path):
    append(path, "anna", every_verb()[:1])
    append(path, "anna", [change_of({"verb": "method", "track": "3", "method": "blur"})])
    with pytest.raises(TracksError, match="edit 2: there is no track 3"):
        append(path, "anna", [change_of({"verb": "undo", "edit": 1})])


def change_of(data):
    from pydantic import TypeAdapter

    from stream_anon.tracks.lines import Change

    return TypeAdapter(Change).validate_python(data)


@pytest.mark.parametrize("author", ["", " ", "a\nb", "x" * 501])
def test_an_edit_needs_an_author(path, author):
    with pytest.raises(UsageError):
        append(path, author, every_verb()[:1])


# What happens to a file by chance, or by somebody who edits it in place.


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


DAMAGE = {
    "a line removed": lambda lines: lines[:5] + lines[6:],
    "the last frame removed": lambda lines: lines[:-2] + lines[-1:],
    "a line twice": lambda lines: [*lines[:5], lines[4], *lines[5:]],
    "two lines swapped": lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
    "a frame number changed": lambda lines: changed(lines, 4, b'"index":3', b'"index":4'),
    "a time changed": lambda lines: changed(lines, 4, b'"pts":', b'"pts":1'),
    "a place changed": lambda lines: changed(lines, 4, b'"box":[33.0', b'"box":[93.0'),
    "a box emptied": lambda lines: changed(lines, 4, b'"items":[{', b'"items":[],"x":[{'),
    "the hash of the input changed": lambda lines: changed(lines, 0, b"0" * 64, b"1" * 64),
    "no header": lambda lines: lines[1:],
    "two headers": lambda lines: [lines[0], *lines],
    "no trailer": lambda lines: lines[:-1],
    "two trailers": lambda lines: [*lines, lines[-1]],
    "cut off in a line": lambda lines: [*lines[:5], lines[5][:40]],
    "cut off in the trailer": lambda lines: [*lines[:-1], lines[-1][:-1]],
    "empty": lambda lines: [],
    "binary": lambda lines: [bytes(range(256)) * 20],
    "a line of 5 MB": lambda lines: [*lines[:3], b"[" * (5 << 20) + b"\n", *lines[3:]],
    "an empty line": lambda lines: [*lines[:3], b"\n", *lines[3:]],
    "a frame after the trailer": lambda lines: [*lines, lines[-2]],
    "another version": lambda lines: changed(lines, 0, b'_version":1', b'_version":2'),
    "another tool": lambda lines: changed(lines, 0, b'"name":"stream-anon"', b'"name":"other"'),
}


def changed(lines, at, old, new):
    assert old in lines[at], lines[at]
    return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(path, name):
    path.write_bytes(b"".join(DAMAGE[name](lines_of(path))))
    with pytest.raises(TracksError) as caught:
        TracksFile(path)
    words = str(caught.value)
    assert words.startswith(str(path))
    assert "\n" not in words
    assert len(words) < 400


EDIT_DAMAGE = {
    "an edit removed": lambda lines: lines[:-3] + lines[-2:],
    "an edit changed": lambda lines: changed(lines, -3, b'"track":"2"', b'"track":"1"'),
    "a reason changed": lambda lines: changed(lines, -3, b"gave consent", b"why not"),
    "an author changed": lambda lines: changed(lines, -3, b"anna", b"anne"),
    "the analysis changed": lambda lines: changed(lines, 4, b"33.0", b"34.0"),
    "edits swapped": lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    "an edit cut off": lambda lines: [*lines[:-1], lines[-1][:30]],
}


@pytest.mark.parametrize("name", EDIT_DAMAGE)
def test_an_edit_that_was_changed_after_it_was_made_is_refused(path, name):
    append(path, "anna", every_verb()[1:4])
    good = lines_of(path)
    path.write_bytes(b"".join(EDIT_DAMAGE[name]([*good[:-3], *good[-3:]])))
    with pytest.raises(TracksError):
        TracksFile(path)


# What a careful forger writes: every count and hash is right again.


def item(lines, **changes):
    lines[5]["items"][0].update(changes)


LIES = {
    "outside": lambda lines: item(lines, box=[400.0, 10.0, 500.0, 50.0]),
    "negative": lambda lines: item(lines, box=[-90.0, -90.0, -50.0, -50.0]),
    "swapped": lambda lines: item(lines, box=[70.0, 30.0, 30.0, 70.0]),
    "no area": lambda lines: item(lines, box=[30.0, 30.0, 30.0, 70.0]),
    "nan": lambda lines: item(lines, box=[float("nan"), 10.0, 60.0, 50.0]),
    "infinite": lambda lines: item(lines, box=[30.0, 10.0, float("inf"), 50.0]),
    "far away": lambda lines: item(lines, box=[30.0, 10.0, 1e300, 50.0]),
    "text": lambda lines: item(lines, box=["30", 10.0, 60.0, 50.0]),
    "three numbers": lambda lines: item(lines, box=[30.0, 10.0, 60.0]),
    "nan keypoints": lambda lines: item(lines, keypoints=[[float("nan"), 1.0]] * 5),
    "four keypoints": lambda lines: item(lines, keypoints=[[1.0, 1.0]] * 4),
    "score": lambda lines: item(lines, score=1.5),
    "origin": lambda lines: item(lines, origin="guessed"),
    "label": lambda lines: item(lines, label="region"),
    "track": lambda lines: item(lines, track="0"),
    "track of letters": lambda lines: item(lines, track="1; rm"),
    "the same track twice": lambda lines: item(lines, track="2"),
    "kept without an edit": lambda lines: item(lines, kept="because"),
    "wrong stream": lambda lines: lines[5].update(stream="1"),
    "huge index": lambda lines: lines[5].update(index=10**30),
    "huge time": lambda lines: lines[5].update(pts=10**30),
    "too many regions": lambda lines: lines[5].update(
        items=[{**lines[5]["items"][0], "track": str(n + 1)} for n in range(MOST_ITEMS + 1)]
    ),
    "a track that had ended": lambda lines: lines[3].update(ended=["1"]),
    "true for one": lambda lines: lines[2].update(index=True),
    "no streams": lambda lines: lines[0].update(streams=[]),
    "a stream twice": lambda lines: lines[0].update(streams=lines[0]["streams"] * 2),
    "zero time base": lambda lines: lines[0]["streams"][0].update(time_base="1/0"),
    "a frame of no size": lambda lines: lines[0]["streams"][0].update(width=0),
}


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_however_well_it_is_hashed(path, name):
    forge(path, lambda lines: None)
    TracksFile(path).close()
    forge(path, LIES[name])
    with pytest.raises(TracksError) as caught:
        TracksFile(path)
    assert "\n" not in str(caught.value)


def test_an_error_does_not_tell_a_place(path):
    forge(path, lambda lines: item(lines, box=[33.12345, "x", 60.0, 50.0]))
    with pytest.raises(TracksError) as caught:
        TracksFile(path)
    assert "33.12345" not in str(caught.value)


def test_a_file_that_is_changed_while_it_is_read_is_noticed(tmp_path):
    path = two_people(tmp_path / "t.jsonl", 200)
    with TracksFile(path) as file:
        assert file.raw("0", 190) is not None
        raw = path.read_bytes()
        with path.open("r+b") as other:
            other.write(raw.replace(b'"box":[33.0', b'"box":[93.0'))
        with pytest.raises(TracksError, match="changed while"):
            file.raw("0", 3)


@given(st.binary(max_size=400), st.integers(0, 30))
def test_no_garbage_is_believed(tmp_path_factory, garbage, at):
    path = two_people(tmp_path_factory.mktemp("t") / "t.jsonl", 5)
    raw = path.read_bytes()
    at = at * len(raw) // 30
    if raw[at : at + len(garbage)] == garbage:
        return
    path.write_bytes(raw[:at] + garbage + raw[at + len(garbage) :])
    with pytest.raises(TracksError):
        TracksFile(path)


def test_the_writer_refuses_frames_out_of_turn_and_leaves_nothing(tmp_path):
    writer = TracksWriter(tmp_path / "t.jsonl", header())
    writer.write(regions(0, face()))
    with pytest.raises(GateError, match="out of turn"):
        writer.write(regions(2, face()))
    writer.abort()
    assert not list(tmp_path.iterdir())


def test_the_writer_refuses_what_only_edits_can_say(tmp_path):
    writer = TracksWriter(tmp_path / "t.jsonl", header())
    with pytest.raises(TracksError, match="edit"):
        writer.write(regions(0, face(kept="because")))
    writer.abort()


def test_there_is_no_file_before_it_is_whole(tmp_path):
    writer = TracksWriter(tmp_path / "t.jsonl", header())
    writer.write(regions(0, face()))
    (part,) = tmp_path.iterdir()
    assert part.name != "t.jsonl"
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    writer.finish()
    writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_what_a_killed_run_left_is_cleared_and_what_another_writes_is_not(tmp_path):
    stale = tmp_path / ".t.0123abcd.part.jsonl"
    stale.write_bytes(b"where somebody was")
    os.utime(stale, (0, 0))
    other = TracksWriter(tmp_path / "t.jsonl", header())
    assert not stale.exists()
    second = TracksWriter(tmp_path / "t.jsonl", header())
    other.write(regions(0, face()))
    other.finish()
    second.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    writer = TracksWriter(tmp_path / "t.jsonl", header())
    # It comes between the last look and the name.
    monkeypatch.setattr(writer, "_check_target", lambda: (tmp_path / "t.jsonl").write_text("mine"))
    with pytest.raises(UsageError, match="exists; -y replaces it"):
        writer.finish()
    writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]
    assert (tmp_path / "t.jsonl").read_text() == "mine"


def test_two_streams_may_come_in_any_order(tmp_path):
    frames = [regions(0, stream="1"), regions(1, face(1), stream="1"), regions(0, face(2))]
    path = write(tmp_path / "t.jsonl", frames, streams=2)
    with TracksFile(path) as file:
        assert file.raw("1", 1).items == (face(1),)
        assert file.raw("0", 0).items == (face(2),)
