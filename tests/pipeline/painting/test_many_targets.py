"""Several targets and methods in one run, several streams in one file: looked at in the pixels."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from stream_anon.config import parse
from stream_anon.detection.types import Face
from stream_anon.errors import ConfigError
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.pipeline import analysis
from stream_anon.pipeline.analysis import make_analyzer
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import make_targets, other_methods
from stream_anon.pipeline.plan import make_plan
from stream_anon.pipeline.run import Pipeline
from tests.attacks.scene import (
    FRAMES,
    HEIGHT,
    SIDE,
    WIDTH,
    Scripted,
    corner,
    face_at,
    leaks,
    write_clip,
)

GREEN, RED = (20, 200, 40), (210, 30, 30)
NEAR = 24
"""Levels by which a colour may be off after 4:2:0 and an encoder."""


def config(**sections):
    data = {"tracker": {"interval": 0.04}, "verify": {"mode": "off"}, "head": {"bodies": False}}
    data["video"] = {"crf": 4}
    return parse({**data, **sections})


def redact(monkeypatch, clip, target, chosen, detector):
    monkeypatch.setattr(analysis, "make_detector", lambda *_: detector)
    plan = make_plan(clip, target, chosen)
    source = FileSource(clip, copied=plan.media.copied)
    analyzer = make_analyzer(plan)
    compositor = Compositor(
        make_targets(chosen), chosen.fault, others=other_methods(chosen, analyzer.methods)
    )
    sink = FileSink(target, plan.media, source.info, chosen.video)
    return Pipeline(plan, source, analyzer, compositor, sink).run()


def decoded(path, stream=0):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=stream)]


def share_of(rgb, colour):
    """Share of an area that has a colour."""
    return float((np.abs(rgb.astype(int) - colour).max(axis=2) < NEAR).mean())


def test_two_streams_three_labels_and_three_methods_in_one_run(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "two.mp4", videos=2)
    chosen = config(
        method={"name": "pixelate", "cells": 4},
        targets={
            "face": {"name": "fill", "colour": list(GREEN)},
            "region": {"name": "fill", "colour": list(RED)},
        },
        regions=[
            {"corners": ["75%", "75%", "100%", "100%"]},
            {"corners": [[0, 180], [60, 180], [0, 239]], "stream": 1},
            {"corners": [250, 0, 319, 40], "method": "blur", "start": 0.5},
        ],
    )
    report = redact(monkeypatch, clip, tmp_path / "out.mp4", chosen, Scripted())
    for stream in (0, 1):
        before, after = decoded(clip, stream), decoded(tmp_path / "out.mp4", stream)
        assert len(after) == FRAMES
        for index, (old, rgb) in enumerate(zip(before, after, strict=True)):
            x, y = (round(v) for v in corner(index))
            core = rgb[y + 30 : y + 70, x + 30 : x + 66]
            assert share_of(core, GREEN) > 0.98, (stream, index)
            assert share_of(rgb[183:236, 243:316], RED) > 0.98, (stream, index)
            assert share_of(rgb[184:200, 4:30], RED) == float(stream == 1), (stream, index)
            # Between them nothing is touched.
            assert np.abs(rgb[5:40, 5:200].astype(int) - old[5:40, 5:200]).max() < 12
    assert leaks(tmp_path, clip) == []
    labels = report.labels
    assert labels["face"].methods == {"fill": 2 * FRAMES}
    assert labels["region"].methods == {"fill": 3 * FRAMES, "blur": 2 * (FRAMES - 13)}
    assert labels["region"].tracks == 5
    assert labels["face"].tracks == 2
    # Where somebody has drawn a region is a place: it does not stand in the report.
    assert "corners" not in json.dumps(json.loads(report.to_json())["config"])


def turning(index: int) -> np.ndarray:
    """A head that turns: its surface moves over it, and soon shows none of what it showed."""
    rng = np.random.default_rng(3)
    around = rng.integers(0, 2, (12, 96), dtype=np.uint8) * 190 + 30
    strip = cv2.resize(around, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
    x, y = (round(v) for v in corner(index))
    frame = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
    frame[y : y + SIDE, x : x + SIDE] = strip[:, 7 * index : 7 * index + SIDE, None]
    return frame


def write_turning(path):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "8", "preset": "ultrafast"}
        for index in range(FRAMES):
            made = av.VideoFrame.from_ndarray(turning(index), format="rgb24")
            made.pts, made.time_base = index, Fraction(1, 25)
            container.mux(video.encode(made))
        container.mux(video.encode())
    return path


def seen_until(last):
    return Scripted(lambda index, faces: faces if index <= last else [])


def painted(path, colour):
    """Share of the head's middle that is painted, frame by frame."""
    shares = []
    for index, rgb in enumerate(decoded(path)):
        x, y = (round(v) for v in corner(index))
        shares.append(share_of(rgb[y + 24 : y + 72, x + 24 : x + 72], colour))
    return shares


@pytest.mark.parametrize(
    ("targets", "whole"),
    [({"face": None}, False), ({"head": None}, True), ({"face": None, "head": None}, True)],
    ids=["face", "head", "face and head"],
)
def test_a_head_that_was_a_face_stays_covered_while_it_turns_away(
    tmp_path, monkeypatch, targets, whole
):
    """The face is seen for twelve frames; it moves on for another second, turning."""
    clip = write_turning(tmp_path / "turns.mp4")
    chosen = config(method={"name": "fill", "colour": list(GREEN)}, targets=targets)
    report = redact(monkeypatch, clip, tmp_path / "out.mp4", chosen, seen_until(11))
    shares = painted(tmp_path / "out.mp4", GREEN)
    assert min(shares[:12]) > 0.97
    assert (min(shares) > 0.97) == whole, shares
    assert set(report.labels) == set(targets)


def test_of_a_head_hair_and_neck_are_covered_too(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4")
    chosen = config(
        method={"name": "identity"},
        targets={"head": {"name": "fill", "colour": list(GREEN)}},
    )
    redact(monkeypatch, clip, tmp_path / "out.mp4", chosen, Scripted())
    for index, rgb in enumerate(decoded(tmp_path / "out.mp4")):
        x0, y0, x1, y1 = face_at(index).box.round().astype(int)
        wide, high = x1 - x0, y1 - y0
        around = rgb[y0 - high // 3 : y1, x0 - wide // 8 : x1 + wide // 8]
        assert share_of(around, GREEN) > 0.97, index


def test_beside_the_face_a_head_is_painted_only_where_no_face_is_seen(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4")
    chosen = config(
        targets={"face": {"name": "fill", "colour": list(GREEN)},
                 "head": {"name": "fill", "colour": list(RED)}},
    )  # fmt: skip
    redact(monkeypatch, clip, tmp_path / "out.mp4", chosen, seen_until(17))
    after = decoded(tmp_path / "out.mp4")
    for index, rgb in enumerate(after):
        x, y = (round(v) for v in corner(index))
        core = rgb[y + 36 : y + 66, x + 36 : x + 60]
        assert share_of(core, GREEN if index <= 17 else RED) > 0.97, index


def test_by_default_what_is_no_face_takes_a_method_that_can_paint_it():
    made = {t.label: t for t in make_targets(config(targets={"face": None, "head": None}))}
    assert made["face"].method.name == "identity"
    assert made["head"].method.name == "fill"
    made = make_targets(config(method={"name": "pixelate"}, targets={"head": None, "face": None}))
    assert [t.label for t in made] == ["face", "head"]
    assert made[0].method is made[1].method, "one method, one ledger"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"targets": {"head": "identity"}}, "identity paints faces only, a head is none"),
        ({"targets": {"head": "smear"}}, "there is no method 'smear'"),
        ({"targets": {"elephant": None}}, "there is no target 'elephant'"),
        ({"targets": {"face": {"name": "fill", "colr": 3}}}, "did you mean 'colour'"),
        ({"targets": {}}, "must be a mapping"),
        ({"regions": [{"corners": [1, 1, 2]}]}, "regions.0.corners"),
        ({"regions": [{"corners": ["1%", "2%", "3%", "104%"]}]}, "0% to 100%"),
        ({"targets": {"region": None}, "verify": {"mode": "sampled"}}, "neither 'face' nor"),
    ],
)
def test_targets_that_make_no_sense_are_refused_in_one_line(sections, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make_targets(config(**sections))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ({"corners": [400, 10, 500, 20]}, "region 1: it lies outside of the frame of 320x240"),
        ({"corners": [10, 10, 10, 50]}, "needs an area"),
        ({"corners": [[0, 0], [50, 50], [50, 0], [0, 50]]}, "must not cross"),
        ({"corners": [0, 0, 9, 9], "stream": 3}, "there is no video stream 3"),
    ],
)
def test_a_region_that_would_cover_nothing_ends_the_run_before_it_begins(
    tmp_path, monkeypatch, region, words
):
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    with pytest.raises(ConfigError, match=words):
        redact(monkeypatch, clip, tmp_path / "o.mp4", config(regions=[region]), Scripted())
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_head_s_box_is_painted_wholly_under_its_superellipse():
    from stream_anon.config import FaultConfig
    from stream_anon.methods import Fill
    from stream_anon.pipeline.painting.shapes import SHAPES
    from stream_anon.pipeline.painting.targets import Target
    from stream_anon.regions import FrameKey, Region, Regions
    from tests.fakes import MemoryFrame, noise

    for box in ((100.0, 60.0, 180.0, 170.0), (-20.0, -10.0, 60.0, 50.0), (10.2, 20.7, 18.9, 30.1)):
        frame = MemoryFrame(noise())
        head = Target("head", SHAPES["head"], Fill(GREEN))
        region = Region("4", "head", box, None, 0.9, "held")
        made = Compositor([head], FaultConfig(policy="stop"))
        made.paint(frame, Regions(FrameKey("0", 0, 0), (region,)))
        y, x = np.mgrid[:240, :320]
        cx, cy, rx, ry = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, *(
            (box[2] - box[0]) / 2, (box[3] - box[1]) / 2)  # fmt: skip
        inside = (np.abs((x - cx) / rx) ** 3 + np.abs((y - cy) / ry) ** 3) <= 1.0
        assert (frame.rgb[inside] == GREEN).all(), box


def test_a_small_face_does_not_take_the_head_behind_it_away(tmp_path, monkeypatch):
    """A head that is held is left out for its own face, not for that of a passer-by."""
    from stream_anon.detection.types import TrackedFace
    from stream_anon.pipeline.labels import _belong
    from stream_anon.regions import Region

    head = Region("1", "head", (100.0, 100.0, 200.0, 200.0), None, 0.9, "held")
    for side, same in ((60.0, True), (20.0, False)):
        face = Face(np.array([150 - side / 2, 150 - side / 2, 150 + side / 2, 150 + side / 2]),
                    None, 0.9)  # fmt: skip
        seen = TrackedFace(2, np.eye(2, 3), face.box, None, "detected", 0.9)
        assert _belong(seen, head) == same


def test_analyze_and_render_give_the_frames_of_redact_for_every_label(tmp_path, monkeypatch):
    from stream_anon.pipeline.analysis import DetectAndTrack
    from stream_anon.pipeline.analyze import analyze_file
    from tests.fakes import encode_the_same_twice

    encode_the_same_twice(monkeypatch)
    clip = write_clip(tmp_path / "clip.mp4", videos=2)
    chosen = config(
        method={"name": "pixelate"},
        targets={"face": None, "head": "fill", "region": "blur"},
        regions=[{"corners": [["60%", 0], ["100%", 0], ["100%", "30%"]]}],
    )
    redact(monkeypatch, clip, tmp_path / "a.mp4", chosen, seen_until(14))
    made = lambda config: DetectAndTrack(seen_until(14), config)  # noqa: E731
    analyze_file(clip, tmp_path / "t.jsonl", chosen, analyzer_of=made)
    assert '"label":"head"' in (tmp_path / "t.jsonl").read_text()
    plan = make_plan(clip, tmp_path / "b.mp4", chosen, tracks=tmp_path / "t.jsonl")
    source = FileSource(clip, copied=plan.media.copied)
    analyzer = make_analyzer(plan)
    others = other_methods(chosen, analyzer.methods)
    compositor = Compositor(make_targets(chosen), chosen.fault, others=others)
    sink = FileSink(tmp_path / "b.mp4", plan.media, source.info, chosen.video)
    report = Pipeline(plan, source, analyzer, compositor, sink).run()
    assert set(report.labels) == {"face", "head", "region"}
    for stream in (0, 1):
        pairs = zip(decoded(tmp_path / "a.mp4", stream), decoded(tmp_path / "b.mp4", stream),
                    strict=True)  # fmt: skip
        assert all(np.array_equal(one, other) for one, other in pairs)
