"""What `make gpu-check` measures with, on the kernels' sources run by g++, in small."""

from __future__ import annotations

import time
from functools import partial

import pytest

from stream_anon.evaluation.benchmarks import encoder_threads, gpu, gpu_media
from stream_anon.evaluation.benchmarks.gpu_kernels import kernel_times, noise_bandwidth
from stream_anon.media.device import dali, nvdec
from stream_anon.media.device.kernels import twin_kernels
from tests.attacks.scene import write_clip
from tests.kernels.conftest import shim
from tests.media.device.decoding.hardware import StandIn, Surfaces

__all__ = ["shim"]


def clock(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began + 1e-9


def test_every_kernel_is_timed(shim):
    found = kernel_times(shim.__getitem__, clock, 2, 2, (160, 120))
    assert [name[:3] for name in found] == [f"({n})" for n in range(1, 8)]
    assert all(seconds > 0.0 for seconds in found.values())
    table = gpu.kernels_table(shim.__getitem__, clock, (1,), 1, (64, 48))
    assert table[0] == "| ms a frame, 1 faces | 1 frames |"
    assert table[-1].startswith("| all | ")
    six, every = (float(row.split("|")[2]) for row in table[-2:])
    assert table[-2].startswith("| (1) to (6) | ")
    assert 0.0 < six < every
    noise = noise_bandwidth(shim["noise"], clock, 4)
    assert noise[0].startswith("4 codes of 512 numbers: ")
    assert noise[1].startswith("A plain copy: ")


def test_painting_is_timed_over_batches(shim):
    table = gpu.painting_table(shim, (1, 2), 2, (160, 120), 1, time.process_time)
    assert table[0] == "| ms a frame | batch 1 | batch 2 |"
    assert [row.split("|")[1].strip() for row in table[2:]] == [
        "pixelate", "blur", "fill", "visual-mixer"
    ]  # fmt: skip
    assert all(float(cell) > 0.0 for row in table[2:] for cell in row.split("|")[2:-1])


@pytest.mark.train
def test_networks_are_timed(monkeypatch):
    monkeypatch.setattr(gpu, "SHAPES", {"landmarks": [(1, 64, 64)], "absent": [(1,)]})
    assert [row.split("|")[1].strip() for row in gpu.networks_table("cpu", "f32", (1,), 1)] == [
        "ms a face", "---", "landmarks"
    ]  # fmt: skip
    parity = gpu.parity_table("cpu", ("f32", "bf16"))
    same, half = (float(cell) for cell in parity[2].split("|")[2:4])
    assert same == 0.0
    assert 0.0 < half < 0.05


def test_whole_runs_are_counted(tmp_path):
    from tests.media.clips import make_clip

    clip = make_clip(tmp_path / "clip.mp4", count=3)
    rows = gpu.whole_runs(clip, "cpu", "fill", (1,))
    assert rows[-1].startswith("| 1 | ")
    assert float(rows[-1].split("|")[2]) > 0.0
    assert "paint " in rows[-1]
    with pytest.raises(RuntimeError, match="error"):
        gpu.whole_runs(tmp_path / "absent.mp4", "cpu", "fill", (1,))


def test_the_way_onto_the_card_and_off_it_is_timed(tmp_path, monkeypatch):
    """On the twin: what stands for NVDEC and DALI, and runs on the CPU."""
    monkeypatch.setattr(dali, "Pipeline", StandIn)
    monkeypatch.setattr(dali, "missing", lambda *_: None)
    monkeypatch.setattr(nvdec, "missing", lambda *_: None)
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    changes = {"method.name": "fill", "video.encoder_preset": "ultrafast"}
    table = gpu_media.media_table(clip, twin_kernels(), changes, 0.0, "mixed", Surfaces)
    rows = [row.split(" | ") for row in table if row.startswith("| ")][1:]
    assert [row[0] for row in rows] == [
        "| NVDEC alone",
        "| NVDEC, frames of our own",
        "| DALI, 4 groups in flight, frames of our own",
        "| whole run without the encoder",
        "| whole run with the encoder",
    ]
    assert all(float(row[1].removesuffix(" |")) > 0 for row in rows)
    assert "of NVDEC alone." in " ".join(table)
    assert "By h264 on the CPU; libx264 on the CPU, from yuv420p." in table


def test_what_did_not_come_from_the_card_is_no_figure_of_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(nvdec, "missing", lambda *_: None)
    monkeypatch.setattr(dali, "missing", lambda *_: "DALI cannot be used (no module)")
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    planar = partial(Surfaces, planar=True)
    table = gpu_media.media_table(clip, twin_kernels(), {"method.name": "fill"}, 0.0, "x", planar)
    words = [row for row in table if "not measured" in row]
    assert len(words) == 3
    assert "0 of 4 frames came from NVDEC" in words[0]
    assert "NVDEC does not take this stream" in words[1]
    assert "DALI cannot be used" in words[2]


def test_a_part_that_fails_is_told_and_the_rest_is_measured():
    found = gpu.Findings("a card")

    def fails() -> list[str]:
        raise MemoryError("out of memory on the device")

    found.section("One", fails)
    found.section("Two", lambda: ["fine"])
    assert found.failed == ["One"]
    assert "Not measured: MemoryError: out of memory on the device" in found.lines
    assert "fine" in found.lines


def test_without_a_gpu_one_line_says_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu, "missing_for_cuda", lambda: "no NVIDIA driver")
    monkeypatch.setattr("sys.argv", ["gpu-check", "--results", str(tmp_path)])
    assert gpu.main() == 2
    assert capsys.readouterr().err == "gpu-check: no NVIDIA driver\n"
    assert not list(tmp_path.iterdir())


def test_threads_and_chunks_of_the_encoder_are_compared(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    rows = encoder_threads.table(clip, 40)
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| one encoder, 1 thread",
        "| one encoder, 4 threads",
        "| one encoder, 8 threads",
        "| one encoder, 16 threads",
        "| chunks of 30 frames, encoders of 1 thread",
    ]
    # Every chunk begins with a keyframe.
    assert float(rows[-1].split(" | ")[2].split()[0]) > 100
