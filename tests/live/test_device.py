"""`live --device cuda`: frames go from shared memory to the device; here to the kernels' twins."""

from __future__ import annotations

import logging
import socket

import numpy as np
import pytest

from stream_anon.device import Choice
from stream_anon.errors import UsageError
from stream_anon.kernels.cuda import KernelError
from stream_anon.live import config as live_config
from stream_anon.live import run as live_run
from stream_anon.live.clock import TICKS
from stream_anon.live.painting.source import RingSource
from stream_anon.live.ring import Ring
from stream_anon.live.single import single
from stream_anon.live.wire import Wire
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.source import uploader
from stream_anon.media.frame import Frame
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.painting import places
from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import camera, judge
from tests.media.device.decoding.hardware import planes

pytestmark = pytest.mark.timeout(400)

TWIN = """
from stream_anon import recipes
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import make_targets
from tests.live.scene import Finder

WHERE = Workplace(kernels=twin_kernels())

class Checked(Compositor):
    def paint(self, frame, regions):
        assert isinstance(frame, DeviceFrame), type(frame)
        return super().paint(frame, regions)

def place(config):
    assert config.device == "cuda"
    return WHERE

def detector(config):
    return Finder()

def compositor(config):
    return Checked(make_targets(config, WHERE), config.fault, place=WHERE)

def build(config, found_by, info):
    return DetectAndTrack(found_by, config, WHERE.backend), compositor(config)
"""


def test_a_camera_is_painted_on_the_device(tmp_path, monkeypatch):
    """A whole run over the twin: every frame that is painted lies there, nobody is seen."""
    monkeypatch.setattr(live_run, "check_device", lambda config: Choice("cuda", "asked for"))
    path = tmp_path / "twin.py"
    path.write_text(TWIN)
    with Camera() as server:
        one = camera("twin", server, tmp_path)
        chosen = config(tmp_path, [one], device="cuda", overload={"backlog": "10s"})
        chosen = chosen.model_copy(update={"pipeline": str(path)})
        with Live(chosen) as live:
            live.more("twin", 20)
            state = live.run.status.snapshot()["twin"]["painter"]
            assert "device cuda: asked for" in live.lines.text
    judge(tmp_path / "twin.mkv")
    assert (state["faults"], state["hosted"]) == (0, 0)
    assert state["painted"] > 0


def ring_of(count: int, matrix: int = 1):
    """A source's wire end, and a ring with frames of noise that were announced."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ring = Ring.create(64, 48, max(count, 1))
    rng = np.random.default_rng(7)
    wire = Wire.of(here.detach())
    form = {"type": "format", "width": 64, "height": 48, "rate": 25.0, "slots": ring.slots}
    wire.send(form, fds=(ring.descriptor,))
    for slot in range(count):
        written = [rng.integers(16, 236, size[::-1]).astype(np.uint8) for size in ring.sizes]
        ring.write(slot, slot + 1, written)
        wire.send({
            "type": "frame", "slot": slot, "sequence": slot + 1, "pts": 5 + slot, "matrix": matrix,
        })  # fmt: skip
    return wire, ring, Wire.of(there.detach())


def taken(source: RingSource, wire: Wire, count: int) -> list[Frame]:
    source.attach(wire)
    found: list[Frame] = []
    for _ in range(200):
        item = source.next(0.05)
        if isinstance(item, Frame):
            found.append(item)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("matrix", [1, 2, 6, 99])
def test_what_is_lifted_is_what_is_copied(matrix):
    frames = []
    for lift in (None, uploader(twin_kernels())):
        writer, ring, wire = ring_of(3, matrix)
        source = RingSource("a", lambda: TICKS // 4, lift)
        frames.append(taken(source, wire, 3))
        source.close()
        ring.close()
        writer.close()
    assert [len(some) for some in frames] == [3, 3]
    for host, lifted in zip(*frames, strict=True):
        assert isinstance(lifted, DeviceFrame)
        for name in ("key", "time_base", "rate", "width", "height", "corrupt"):
            assert getattr(host, name) == getattr(lifted, name)
        for a, b in zip(planes(host), planes(lifted), strict=True):
            np.testing.assert_array_equal(a, b)
        for tag in ("colorspace", "color_range"):
            assert getattr(host.to_av(), tag) == getattr(lifted.to_av(), tag)
        np.testing.assert_array_equal(host.luma(2), lifted.luma(2))


def test_a_frame_that_is_written_over_meanwhile_is_torn():
    """A reader that does not wait for the slot: what was lifted is not what was announced."""
    writer, ring, wire = ring_of(1)
    upload = uploader(twin_kernels())

    def slow(given, matrix, place):
        frame = upload(given, matrix, place)
        ring.write(0, 9, [np.full(size[::-1], 40, np.uint8) for size in ring.sizes])
        return frame

    source = RingSource("a", lambda: TICKS // 4, slow)
    assert taken(source, wire, 1) == []
    assert source.torn == 1
    source.close()
    ring.close()
    writer.close()


@pytest.mark.parametrize(
    "error", [MemoryError("out of memory"), KernelError("no kernel"), RuntimeError("cuda")]
)
def test_a_device_that_takes_no_frame_leaves_it_in_host_memory(error, caplog):
    def fails(given, matrix, place):
        raise error

    caplog.set_level(logging.WARNING, "stream_anon")
    writer, ring, wire = ring_of(2)
    source = RingSource("a", lambda: TICKS // 4, fails)
    found = taken(source, wire, 2)
    assert [frame.device for frame in found] == ["cpu", "cpu"]
    assert not any(isinstance(frame, DeviceFrame) for frame in found)
    assert source.hosted == 2
    assert len([r for r in caplog.records if "stay in host memory" in r.getMessage()]) == 1
    source.close()
    ring.close()
    writer.close()


def test_a_device_that_is_asked_for_and_missing_ends_it_before_anything_starts(monkeypatch):
    chosen = single("rtsp://camera/1", (), device="cuda")
    assert chosen.engine(chosen.cameras[0]).device == "cuda"
    monkeypatch.setattr("stream_anon.device.missing_for_cuda", lambda: "no NVIDIA driver")
    with pytest.raises(UsageError, match="device 'cuda' cannot be used: no NVIDIA driver"):
        live_run.Run(chosen)


def test_a_card_whose_kernels_do_not_load_ends_it_too(monkeypatch):
    """Tried in a process of its own; here there is no card, and that process says so."""
    monkeypatch.setattr(live_run, "choose", lambda wanted: Choice("cuda", "asked for"))
    with pytest.raises(UsageError, match="device 'cuda' cannot be used: CuPy"):
        live_run.check_device(single("rtsp://camera/1", (), device="cuda"))


def test_a_decoder_on_a_card_needs_the_card():
    one = {"name": "a", "source": "rtsp://camera/1", "decoder": "nvdec"}
    chosen = live_config.parse({"cameras": [one], "device": "cpu"})
    with pytest.raises(UsageError, match="decoder 'nvdec' decodes on a GPU: device: cuda"):
        live_run.check_device(chosen)


def test_a_decoder_that_is_named_must_be_there(monkeypatch, capsys):
    monkeypatch.setattr(places, "workplace", lambda device: Workplace(kernels=twin_kernels()))
    monkeypatch.setattr("stream_anon.media.device.nvdec.missing", lambda *_: "no NVDEC library")
    assert places.main(["nvdec"]) == 2
    assert capsys.readouterr().err == "video.decoder 'nvdec' cannot be used: no NVDEC library\n"
    assert places.main() == 0
