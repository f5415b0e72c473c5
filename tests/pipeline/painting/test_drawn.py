"""Regions of the configuration: given as a viewer sees the frame, painted where that is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.config import parse
from stream_anon.pipeline.drawn import FIRST_TRACK, drawn
from stream_anon.regions import TRACK


def region(corners, **rest):
    return parse({"regions": [{"corners": corners, **rest}]}).regions[0]


@given(st.integers(0, 3), st.integers(8, 60), st.integers(8, 60), st.data())
def test_a_rectangle_covers_the_stored_samples_of_what_the_viewer_sees(turns, wide, high, data):
    """Turned upright, the stored box is the box that was asked for."""
    across, down = (wide, high) if turns % 2 == 0 else (high, wide)
    x0, y0 = data.draw(st.integers(0, across - 3)), data.draw(st.integers(0, down - 3))
    x1, y1 = data.draw(st.integers(x0 + 1, across - 1)), data.draw(st.integers(y0 + 1, down - 1))
    a, b, c, d = drawn(region([x0, y0, x1, y1]), "7", (wide, high), turns).box
    mask = np.zeros((high, wide), bool)
    mask[round(b) : round(d) + 1, round(a) : round(c) + 1] = True
    asked = np.zeros((down, across), bool)
    asked[y0 : y1 + 1, x0 : x1 + 1] = True
    assert np.array_equal(np.rot90(mask, turns), asked)


@pytest.mark.parametrize("turns", range(4))
def test_shares_reach_from_the_first_sample_to_the_last(turns):
    made = drawn(region(["0%", "0%", "100%", "100%"]), "7", (320, 240), turns)
    assert made.box == (0.0, 0.0, 319.0, 239.0)
    assert made.polygon is None


def test_a_polygon_keeps_its_corners_and_a_rectangle_any_two_of_its_own():
    corners = [[10, 10], [50, 12], [30, 40]]
    assert drawn(region(corners), "7", (320, 240), 0).polygon == tuple(
        (float(x), float(y)) for x, y in corners
    )
    one, other = region([50, 40, 10, 10]), region([10, 40, 50, 10])
    assert drawn(one, "7", (320, 240), 0).box == drawn(other, "7", (320, 240), 0).box


def test_the_numbers_of_drawn_regions_are_numbers_of_tracks():
    assert TRACK.fullmatch(str(FIRST_TRACK + 63 * 1000 + 999))


def test_a_number_that_is_taken_makes_the_frame_unknown():
    """Of a forged Tracks file: neither of the two is left out unseen."""
    from fractions import Fraction
    from types import SimpleNamespace

    from stream_anon.pipeline.analysis import Analyzed
    from stream_anon.pipeline.drawn import WithRegions
    from stream_anon.regions import Region, Regions
    from tests.fakes import MemoryFrame, noise

    frame = MemoryFrame(noise())
    frame.time_base = Fraction(1, 25)
    taken = Region(str(FIRST_TRACK), "face", (10.0, 10.0, 50.0, 60.0), None, 0.9, "detected")
    regions = Regions(frame.key, (taken,))
    other = SimpleNamespace(push=lambda item: iter([Analyzed(frame, regions)]))
    info = SimpleNamespace(video=[SimpleNamespace(index=0, video=None)])
    made = WithRegions(other, (region([10, 10, 50, 50]),), info)
    (analyzed,) = made.push(frame)
    assert "stands twice" in analyzed.regions.unknown
