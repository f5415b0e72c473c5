"""The bound on a stream's memory on a device, and runs on the twin that are counted against it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from click.testing import CliRunner

from stream_anon.config import Config, override
from stream_anon.evaluation.benchmarks import gpu_memory
from stream_anon.evaluation.benchmarks.gpu_memory import measured, stream_bound, surface_bytes
from stream_anon.kernels.memory import Meter, Metered
from stream_anon.kernels.twin import TwinModule
from tests.attacks.scene import HEIGHT, RATE, WIDTH, Scripted, write_clip


def quick(**changes) -> Config:
    return override(Config(), **{"method.name": "pixelate", "verify.mode": "off", **changes})


def test_a_surface_is_what_its_format_says():
    assert surface_bytes(1920, 1080) == 2048 * 1080 + 2048 * 540
    assert surface_bytes(1920, 1080, 10) == 3840 * 1080 + 3840 * 540
    assert surface_bytes(1, 1) == 2 * 256


@pytest.mark.parametrize(
    "changes",
    [{"tracker.latency": 0.25}, pytest.param({}, marks=pytest.mark.slow)],
    ids=["short", "usual"],
)
def test_a_run_stays_within_its_bound(tmp_path, changes):
    clip = write_clip(tmp_path / "scene.mp4", frames=60 if not changes else 30)
    config = quick(**changes)
    meter = measured(clip, config, tmp_path, detector=Scripted())
    bound = stream_bound(config, WIDTH, HEIGHT, float(RATE), faces=1)
    assert meter.peak <= bound.total
    # No more than that many frames are ever alive: the bound is not met by its crops alone.
    assert meter.peak >= bound.waiting * surface_bytes(WIDTH, HEIGHT) * (0.5 if changes else 0.8)


def test_arrays_are_counted_for_as_long_as_they_live():
    meter = Meter(limit=100)
    module = Metered(TwinModule("maps"), meter)
    one = module.zeros((40,), np.uint8)
    two = module.take(one.reshape(4, 10), np.array([0, 1]))
    assert (meter.held, meter.peak) == (60, 60)
    with pytest.raises(MemoryError, match="41 bytes are wanted on the device, 60 of 100"):
        module.put(np.zeros(41, np.uint8))
    del one
    gc.collect()
    assert (meter.held, meter.peak, meter.refused) == (20, 60, 1)
    assert len(two) == 2


def test_the_command_prints_both(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "scene.mp4", frames=4)
    monkeypatch.setattr(gpu_memory, "measured", lambda *_: type("Meter", (), {"peak": 5_000_000}))
    done = CliRunner().invoke(gpu_memory.main, [str(clip)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("bound: ")
    assert done.output.endswith("counted on twin: 5 MB\n")


def test_bench_tells_the_memory_of_a_stream_on_a_device(tmp_path, monkeypatch):
    """The run itself takes the CPU here: what is told beside it is told of the GPU."""
    from stream_anon.cli.commands.bench import bench as command
    from stream_anon.device import Choice
    from stream_anon.evaluation.benchmarks import speed

    clip = write_clip(tmp_path / "scene.mp4", frames=4)
    monkeypatch.setattr("stream_anon.device.choose", lambda wanted: Choice("cuda", "asked for"))
    monkeypatch.setattr(speed, "_redact", lambda *_: speed.Timing(4, 1.0, 1.0))
    monkeypatch.setattr(speed, "pool_bytes", lambda: 7_000_000)
    options = ["--device", "cuda", "--frames", "4", "--rounds", "1"]
    done = CliRunner().invoke(command, [str(clip), *options])
    assert "7 MB held" in done.output, done.output
    bound = stream_bound(Config(), WIDTH, HEIGHT, float(RATE)).total / 1e6
    assert f"at most {bound:.0f} MB" in done.output
