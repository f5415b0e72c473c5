"""The whole GPU pipeline on its twin, over every clip of the media suite, beside the CPU path.

What the CPU path found is painted by both: the regions are the same ones, and pixels must lie
within 0.1 levels on average over all samples, faces that fill a third of the frame included, and 8
for 999 samples of 1000. Where the twin
looks for itself, by torch and from its own thumbnails, its boxes must overlap the CPU's: all faces
above 40 pixels on average by 0.9, whatever the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines import redact
from stream_anon.config import Config, override
from stream_anon.detection.on_torch import TorchCenterFace
from stream_anon.media.device.source import DeviceSource
from stream_anon.methods.workplace import Workplace
from stream_anon.models.backend import Backend
from stream_anon.pipeline import analysis
from stream_anon.pipeline.analysis import Analyzed
from stream_anon.pipeline.plan import make_plan
from tests.conftest import SHARED
from tests.media.device.twin import Run, differences, region_pairs, run

pytestmark = [pytest.mark.shared, pytest.mark.slow, pytest.mark.train]

CLIPS = sorted(
    path.name for path in (SHARED / "media").glob("*") if path.suffix not in (".md", ".json")
) or ["none"]

SECONDS = 0.3
BEGINS = {"stage_shot_cuts_360p.mp4": 0.85}
"""Seconds at which the first frame is shown, where that is not 0."""
LARGE = 40.0
"""Side of a face in pixels above which its box hangs on no half level."""


class Told:
    """An analyzer that says what another run found."""

    name, networks, methods, origin = "centerface", (), (), None
    detections_run = partial_detections_run = 0

    def __init__(self, run: Run) -> None:
        self._regions = run.regions
        self.notes: list[str] = []

    def push(self, item) -> Iterator[Analyzed]:
        yield Analyzed(item, self._regions[item.key])

    def flush(self) -> Iterator[Analyzed]:
        return iter(())

    def close(self) -> None:
        pass


def whole(clip: Path, folder: Path, **changes) -> Run:
    folder.mkdir()
    changes = {
        "verify.mode": "off", "video.end": BEGINS.get(clip.name, 0.0) + SECONDS,
        "detector.precision": "f32", "method.name": "pixelate", **changes,
    }  # fmt: skip
    suffix = ".mp4" if clip.suffix == ".mp4" else ".mkv"
    plan = make_plan(clip, folder / f"out{suffix}", override(Config(), **changes))
    return run(redact.build(plan), None)


@pytest.fixture
def on_device(shim, monkeypatch):
    """What ``--device cuda`` chooses, each part on its twin."""
    place = Workplace(Backend("torch"), shim, 4)
    monkeypatch.setattr(redact, "workplace", lambda device: place)
    monkeypatch.setattr(redact, "on_device", lambda source, *more: DeviceSource(source, shim))
    monkeypatch.setattr(
        analysis, "make_detector",
        lambda config, models, device: TorchCenterFace(config, models, "cpu"),
    )  # fmt: skip
    return place


def found_alike(cpu: Run, twin: Run) -> float:
    """Mean overlap of large faces' boxes; 1 where there are none."""
    shares: list[float] = []
    for key, regions in cpu.regions.items():
        pairs = region_pairs(regions, twin.regions[key])
        items = [*regions.items, *twin.regions[key].items]
        for region, share in zip(items, pairs, strict=True):
            if min(region.box[2] - region.box[0], region.box[3] - region.box[1]) >= LARGE:
                shares.append(share)
    return float(np.mean(shares)) if shares else 1.0


@pytest.mark.parametrize("name", CLIPS)
def test_the_twin_paints_what_the_cpu_paints(shared, tmp_path, request, monkeypatch, name):
    clip = shared / "media" / name
    cpu = whole(clip, tmp_path / "cpu")
    request.getfixturevalue("on_device")
    twin = whole(clip, tmp_path / "twin")
    assert twin.frames <= {"DeviceFrame", "CpuFrame"}
    assert cpu.regions.keys() == twin.regions.keys()
    assert found_alike(cpu, twin) >= 0.9
    monkeypatch.setattr(redact, "make_analyzer", lambda plan: Told(cpu))
    told = whole(clip, tmp_path / "told")
    assert told.regions == cpu.regions
    assert told.report.frames.stepped_down == cpu.report.frames.stepped_down == {}
    off = differences(cpu, told)
    assert off.mean() <= 0.1
    assert np.quantile(off, 0.999) <= 8


@pytest.mark.parametrize("method", ["identity", "dp-image"])
def test_new_faces_by_torch_pass_the_second_look(shared, tmp_path, on_device, method):
    """Every network in torch, crops from the twin: a finished file, looked at in full."""
    clip = shared / "media" / "carphone.mp4"
    done = whole(clip, tmp_path / "out", **{"method.name": method, "verify.mode": "full"})
    assert done.frames == {"DeviceFrame"}
    assert done.report.verification.passed
    assert done.report.frames_with_faces == done.report.frames_out
