"""The comparison sees what it is there to see."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from stream_anon.media.compare import FileFacts, StreamFacts, describe, differences
from stream_anon.media.input.info import Chapter, Colour
from tests.media.clips import make_clip


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> FileFacts:
    folder = tmp_path_factory.mktemp("compare")
    return describe(
        make_clip(
            folder / "a.mkv",
            audio=["aac"],
            subtitles="subrip",
            chapters=[(0, 0.5, "One")],
            colour=(1, 1, 1, 1),
            count=10,
        )
    )


def changed(facts: FileFacts, kind: str, **changes) -> FileFacts:
    streams = [replace(s, **changes) if s.kind == kind else s for s in facts.streams]
    return replace(facts, streams=tuple(streams))


def test_a_file_is_the_same_as_itself(facts):
    assert differences(facts, facts) == []


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("audio", {"digest": "0"}, "its packets changed"),
        ("audio", {"language": "deu"}, "language None became deu"),
        ("video", {"size": (96, 62)}, "size (96, 64) became (96, 62)"),
        ("video", {"sample_aspect": Fraction(4, 3)}, "sample aspect 1 became 4/3"),
        ("video", {"rotation": 90}, "rotation 0 became 90"),
        ("video", {"interlaced": True}, "interlaced False became True"),
        ("video", {"colour": Colour(1, 1, 6, 1)}, "colour matrix 1 became 6"),
        ("video", {"colour": Colour(1, 1, 1, 2)}, "colour range 1 became 2"),
        ("video", {"dispositions": ("forced",)}, "dispositions"),
    ],
)
def test_a_change_is_told(facts, kind, change, words):
    found = differences(facts, changed(facts, kind, **change))
    assert len(found) == 1
    assert words in found[0]


def test_times_and_counts(facts):
    def video(source: FileFacts) -> StreamFacts:
        return source.of("video")[0]

    times = video(facts).times
    late = changed(facts, "video", times=(*times[:-1], times[-1] + Fraction(1, 1000)))
    assert "1 times moved" in differences(facts, late)[0]
    short = changed(facts, "video", times=times[:-1])
    assert differences(facts, short) == ["video stream 0: 10 frames became 9"]
    finer = changed(late, "video", time_base=Fraction(1, 90000))
    assert len(differences(facts, finer)) == 1
    rounded = changed(
        facts,
        "video",
        time_base=Fraction(1, 90000),
        times=tuple(t + Fraction(1, 2500) for t in times),
    )
    assert differences(facts, rounded) == []


def test_streams_and_chapters_that_are_gone(facts):
    silent = replace(facts, streams=tuple(s for s in facts.streams if s.kind != "audio"))
    assert differences(facts, silent) == ["1 audio streams became 0"]
    assert "chapters" in differences(facts, replace(facts, chapters=()))[0]
    other = (Chapter(Fraction(0), Fraction(1, 2), "Two"),)
    assert "chapters" in differences(facts, replace(facts, chapters=other))[0]


def test_ways_to_say_nothing_are_the_same(facts):
    quiet = changed(facts, "video", language="und", sample_aspect=Fraction(1))
    quiet = changed(quiet, "video", colour=Colour(1, 1, 1, 0), dispositions=("default",))
    assert differences(facts, quiet) == []
