"""Counts of a run that never ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.media.cleared import FallbackLevel
from stream_anon.media.packets import Gap
from stream_anon.pipeline.analysis import Analyzed
from stream_anon.pipeline.counts import MOST_REASONS, OTHER, Spans, Tally, add
from stream_anon.pipeline.painting.gate import FallbackStats
from stream_anon.regions import Region, Regions
from tests.fakes import MemoryFrame

RGB = np.zeros((8, 8, 3), np.uint8)


def region(track: int, kept: str | None = None) -> Region:
    return Region(str(track), "face", (1.0, 1.0, 5.0, 5.0), None, 0.9, "detected", kept=kept)


def item(index: int, *regions: Region, ended: tuple[str, ...] = ()) -> Analyzed:
    frame = MemoryFrame(RGB, index)
    return Analyzed(frame, Regions(frame.key, regions, ended))


@given(st.lists(st.integers(1, 30), max_size=200), st.integers(1, 10))
def test_nothing_that_was_counted_is_lost_by_folding(tracks, most):
    spans = Spans(most)
    for index, track in enumerate(tracks):
        spans.see(item(index), region(track))
    told, folded = spans.painted(), spans.folded
    assert len(told) <= most
    assert sum(part.frames for part in told) + (folded.frames if folded else 0) == len(tracks)
    assert (folded is None) == (len(set(tracks)) <= most)
    assert [part.track for part in told] == sorted(part.track for part in told)
    if folded:
        # Whoever was seen latest is told.
        latest = list(dict.fromkeys(reversed(tracks)))[:most]
        assert {part.track for part in told} == set(latest)
        assert 0 <= folded.first_seconds <= folded.last_seconds <= len(tracks) / 25
    else:
        for part in told:
            where = [n for n, track in enumerate(tracks) if track == part.track]
            assert (part.first_pts, part.last_pts) == (where[0], where[-1])
            assert part.frames == len(where)


def test_reasons_are_counted_by_name_up_to_a_number():
    counts: dict[str, int] = {}
    for n in range(5 * MOST_REASONS):
        add(counts, f"the frame at {n} s is damaged", 2)
    add(counts, "the frame at 0 s is damaged")
    assert len(counts) == MOST_REASONS + 1
    assert sum(counts.values()) == 10 * MOST_REASONS + 1
    assert counts["the frame at 0 s is damaged"] == 3
    assert counts[OTHER] == 8 * MOST_REASONS


def test_the_ladder_s_reasons_are_bounded_as_well():
    stats = FallbackStats()
    for n in range(1000):
        stats.count(FallbackLevel.PIXELATED, f"the frame at {n} s is damaged")
        stats.count_faces(1, f"reason {n}", "face")
    assert len(stats.reasons) == MOST_REASONS + 1
    assert sum(stats.reasons.values()) == 2000
    assert stats.frames == {FallbackLevel.PIXELATED: 1000}


def test_a_gap_names_the_tracks_that_have_not_ended():
    tally = Tally()
    tally.count(item(0, region(1), region(2), region(3, "the driver")), FallbackLevel.METHOD)
    tally.count(item(1, region(2), ended=("1",)), FallbackLevel.METHOD)
    assert tally.gap(Gap(1, "reconnected")) == []
    assert tally.gap(Gap(0, "reconnected")) == [2, 3]
    assert tally.gap(Gap(0, "reconnected")) == []
    assert tally.frames.gaps == {"reconnected": 3}
    assert [part.reason for part in tally.kept.visible()] == ["the driver"]


def test_what_was_to_be_left_visible_is_not_counted_so_where_the_whole_frame_was_covered():
    tally = Tally()
    assert tally.count(item(0, region(3, "the driver")), FallbackLevel.PIXELATED) == []
    assert tally.kept.visible() == []
    assert tally.frames.with_faces == 1
