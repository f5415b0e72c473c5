"""`live --device cuda` where the card decodes: packets cross to the painter, frames never do."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from stream_anon.device import Choice
from stream_anon.live import run as live_run
from stream_anon.live.painting.source import RingSource
from stream_anon.live.ring import PacketRing
from stream_anon.live.wire import Wire
from stream_anon.media.device.decoder import DeviceDecoder
from stream_anon.media.device.frame import DeviceFrame
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.nvdec import NvdecContext
from stream_anon.media.packets import Gap
from tests.live import scene
from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.test_device import TWIN
from tests.live.test_faults import camera, judge
from tests.media.device.decoding.hardware import Surfaces

pytestmark = pytest.mark.timeout(400)

DECODERS = """
import av
from stream_anon.media.device import choose, nvdec
from tests.media.device.decoding.hardware import Surfaces

choose.nvdec.missing = lambda *_: None

def decoders(kernels, wanted, low_delay):
    assert wanted == "nvdec"
    return choose.live_decoders(kernels, wanted, low_delay, "cpu", opened)
"""
WORKS = "def opened(stream):\n    return Surfaces(stream)\n"


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """A configuration whose card is the twin, with a decoder that is told here."""
    monkeypatch.setattr(live_run, "check_device", lambda config: Choice("cuda", "asked for"))

    def made(cameras, opened=WORKS):
        path = tmp_path / "card.py"
        path.write_text(TWIN + DECODERS + opened)
        chosen = config(tmp_path, cameras, device="cuda", overload={"backlog": "10s"})
        return chosen.model_copy(update={"pipeline": str(path)})

    return made


DIES = """
made = []

def opened(stream):
    # The first decoder dies in mid-stream, all others at once: nobody is seen either way.
    made.append(stream)
    return Surfaces(stream, fails=range(20 if len(made) == 1 else 1, 10**6))
"""


def test_a_decoder_that_dies_leaves_it_to_the_reader(twin, tmp_path):
    with Camera() as server, Live(twin([camera("dies", server, tmp_path)], DIES)) as live:
        live.until(lambda: "NVDEC gave up" in live.lines.text)
        live.until(lambda: live.reader("dies", "frames") > live.reader("dies", "forwarded") + 10)
        live.more("dies", 20)
        assert live.state("dies")["painter"]["faults"] == 0
        assert live.state("dies")["restarts"] == 0
    judge(tmp_path / "dies.mkv")


@pytest.mark.slow
def test_a_painting_process_that_dies_is_told_of_the_packets_anew(twin, tmp_path):
    """The reader goes on; the next process begins at a keyframe, with memory of its own."""
    with Camera() as server, Live(twin([camera("new", server, tmp_path)])) as live:
        live.more("new", 10)
        supervisor = live.run.supervisor
        painter = supervisor.painters.of("new")
        before, reader = painter.pid, supervisor.cameras["new"].reader.pid
        os.kill(before, signal.SIGKILL)
        live.until(lambda: painter.alive and painter.pid != before)
        live.more("new", 20)
        assert supervisor.cameras["new"].reader.pid == reader
        live.until(lambda: "NVDEC (h264)" in str(live.state("new")["painter"]["decoder"]))
        assert live.state("new")["reader"]["connects"] == 1
        assert "decoded on the CPU" not in live.lines.text
    judge(tmp_path / "new.mkv")


BREAKS = """
def opened(stream):
    raise AttributeError("a library of another version")
"""


@pytest.mark.slow
def test_a_card_that_cannot_decode_at_all(twin, tmp_path):
    with Camera() as server, Live(twin([camera("none", server, tmp_path)], BREAKS)) as live:
        live.until(lambda: "the card's decoder cannot be opened" in live.lines.text)
        live.more("none", 20)
        assert live.state("none")["painter"]["decoder"] == ""
        assert live.painter("none", "hosted") == 0
    judge(tmp_path / "none.mkv")


def test_damage_gaps_and_changes_of_form_on_the_card(twin, tmp_path):
    """Lost packets are covered, a lost connection begins anew, another size goes to the reader."""
    with Camera() as server, Live(twin([camera("bad", server, tmp_path)])) as live:
        live.more("bad", 20)
        state = live.state("bad")
        assert state["painter"]["decoder"] == "NVDEC (h264)"
        assert state["painter"]["hosted"] == 0
        assert state["reader"]["forwarded"] > 20
        assert "decoded on the CPU" not in live.lines.text
        server.lose = 9
        live.until(lambda: live.reader("bad", "damaged") >= 5)
        server.lose = 0
        live.more("bad", 40)
        server.kick()
        live.until(lambda: live.reader("bad", "connects") >= 2)
        live.more("bad", 5)
        assert live.state("bad")["painter"]["decoder"] == "NVDEC (h264)"
        server.size = 640, 480
        live.until(lambda: live.reader("bad", "changes") >= 1)
        live.more("bad", 5)
        assert live.painter("bad", "faults") == 0
    found = judge(tmp_path / "bad.mkv", 60, 120)
    assert found.sizes == {(320, 240)}


GROUPS = """
from stream_anon.media.device import dali
from tests.media.device.decoding.hardware import StandIn

class Watched(StandIn):
    runs = 0

    def run(self, data, count):
        Watched.runs += 1
        if FAILS and Watched.runs > 3:
            raise RuntimeError("no more")
        return super().run(data, count)

dali.Pipeline = Watched
dali.missing = lambda *_: None

def decoders(kernels, wanted, low_delay):
    assert wanted == "dali"
    return choose.live_decoders(kernels, wanted, low_delay, "mixed")
"""


@pytest.mark.slow
def test_whole_groups_of_pictures_for_dali(twin, tmp_path):
    """Cut at keyframes, closed, decoded one after the other; the camera runs later and says so."""
    with Camera() as server:
        one = camera("dali", server, tmp_path, decoder="dali")
        with Live(twin([one], "FAILS = False" + GROUPS)) as live:
            live.more("dali", 30)
            state = live.state("dali")["painter"]
            assert "dali: whole groups of pictures, up to 2.5 s later" in live.lines.text
            live.until(lambda: live.state("dali")["painter"]["frames_in"] > 30)
            assert state["hosted"] == 0
            assert state["decoder"] == "DALI by NVDEC"
            assert state["late"] == 0
    judge(tmp_path / "dali.mkv")


@pytest.mark.slow
def test_dali_that_fails_group_after_group_leaves_it_to_the_reader(twin, tmp_path):
    with Camera() as server:
        one = camera("dali", server, tmp_path, decoder="dali")
        with Live(twin([one], "FAILS = True" + GROUPS)) as live:
            live.until(lambda: "the reader is to decode: DALI by NVDEC" in live.lines.text)
            live.until(lambda: ": decoded on the CPU: " in live.lines.text)
            live.more("dali", 20)
            assert live.painter("dali", "faults") == 0
    judge(tmp_path / "dali.mkv")


def coded(**changes):
    """A source that a reader has told of packets, and the reader's end."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    reader, ring = Wire.of(here.detach()), PacketRing.create()
    told = {
        "type": "coded", "codec": "h264", "extradata": "", "memory": 7, "pix_fmt": "yuv420p",
        "width": 320, "height": 240, "rate": 25.0, **changes,
    }  # fmt: skip
    reader.send(told, fds=(ring.descriptor,))
    source = RingSource("a", lambda: 0, None, maker)
    source.attach(Wire.of(there.detach()))
    return source, reader, ring


def maker(stream, info, name, **given):
    context = NvdecContext(stream, info.video, Surfaces)
    return DeviceDecoder(stream, info, name, context=context, kernels=twin_kernels(), **given)


def items(source, count):
    found = [source.next(0.02) for _ in range(count)]
    return [item for item in found if item is not None]


BAD = {
    "no codec": {"codec": "mjpeg"}, "no header": {"extradata": 5},
    "another format": {"pix_fmt": "x"}, "no size": {"width": None}, "no rate": {"rate": 0.0},
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_reader_that_talks_nonsense_is_left(what):
    before = len(os.listdir("/proc/self/fd"))
    source, reader, ring = coded(**BAD[what])
    assert items(source, 3) == [Gap(0, "reconnect")]
    assert not reader.send({"type": "packet"}) or reader.receive(1.0) is None
    source.close()
    reader.close()
    ring.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("place", [(-4, 10), (0, 0), (2**40, 5), ("0", 5)])
def test_a_packet_beyond_its_memory_is_nonsense(place):
    source, reader, ring = coded()
    told = {"type": "packet", "at": place[0], "size": place[1], "pts": 0, "dts": 0, "key": True}
    reader.send(told)
    assert items(source, 4) == [Gap(0, "reconnect")]
    source.close()
    reader.close()
    ring.close()


def test_packets_become_frames_and_are_told_to_be_done():
    """In order, under numbers of the source, and drained before the gap that follows them."""
    source, reader, ring = coded()
    sent = scene.encoded(320, 240)[:12]
    for number, (data, key) in enumerate(sent):
        place = ring.put(data)
        reader.send({
            "type": "packet", "at": place, "size": len(data), "pts": 3600 * number,
            "dts": 3600 * number, "key": key, "corrupt": number == 4,
        })  # fmt: skip
    reader.send({"type": "gap", "reason": "left out"})
    found = items(source, 40)
    assert found[-1] == Gap(0, "left out")
    frames = found[:-1]
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.pts for frame in frames] == [3600 * n for n in range(12)]
    assert all(isinstance(frame, DeviceFrame) for frame in frames)
    # What the transport marked is damaged, up to the next keyframe.
    assert [frame.corrupt for frame in frames] == [4 <= n < 10 for n in range(12)]
    done = [reader.receive(1.0).data for _ in range(12)]
    assert {one["memory"] for one in done} == {7}
    assert sum(one["damaged"] for one in done) == 6
    source.close()
    reader.close()
    ring.close()
