"""Real clips beside a developer's checkout: what comes out is what went in, but for pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_anon.media.compare import describe, differences
from stream_anon.media.input.probe import probe
from stream_anon.media.output.formats import default_suffix
from tests.media.conftest import pass_through

pytestmark = pytest.mark.shared

QUICK = [
    "carphone.mp4",
    "asl_personA_student.mkv",
    "square_night_tiny_faces.mp4",
    "no_faces_many_streams.mp4",
    "two_heads.gif",
]
REST = [
    "asl_personA_again.mkv",
    "asl_personA_brother.mkv",
    "asl_personA_help.mkv",
    "asl_personB_bird.mkv",
    "asl_personB_milk.mkv",
    "asl_personB_please.mkv",
    "asl_personB_thanks.mkv",
    "asl_personC_book.mkv",
    "asl_personC_learn.mkv",
    "asl_personC_school.mkv",
    "asl_personC_walk.mkv",
    "bus_tiny_faces.h265",
    "classroom.gif",
    "corridor_faces.gif",
    "crowd_tiny_faces.h264",
    "egocentric_5mp.mp4",
    "head_d20.mp4",
    "head_d3.mp4",
    "head_s13.mp4",
    "head_s20.mp4",
    "head_s29.mp4",
    "head_s32.mp4",
    "head_v1.mp4",
    "head_v4.mp4",
    "head_v5.mp4",
    "juggle.mp4",
    "room_mostly_empty_768p.mp4",
    "stage_shot_cuts_360p.mp4",
    "street_1080p.mp4",
    "street_bw_360p.mp4",
]


def check(source: Path, folder: Path) -> None:
    suffix, _ = default_suffix(probe(source))
    target = folder / f"out{suffix}"
    pass_through(source, target, preset="ultrafast")
    assert differences(describe(source), describe(target)) == []


@pytest.mark.parametrize("name", QUICK)
def test_a_clip_comes_back_the_same(shared, tmp_path, name):
    check(shared / "media" / name, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", REST)
def test_every_clip_comes_back_the_same(shared, tmp_path, name):
    check(shared / "media" / name, tmp_path)


def test_every_clip_is_in_one_of_the_lists(shared):
    clips = {p.name for p in (shared / "media").iterdir() if p.suffix not in (".md", ".json")}
    assert clips == set(QUICK) | set(REST)
