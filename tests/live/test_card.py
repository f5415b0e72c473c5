"""`live --device cuda` where the card decodes: packets cross to the painter, frames never do."""

from __future__ import annotations

import pytest

from stream_anon.device import Choice
from stream_anon.live import run as live_run
from tests.live.harness import Live, config
from tests.live.rtsp_server import Camera
from tests.live.test_device import TWIN
from tests.live.test_faults import camera, judge

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


def test_a_camera_is_decoded_in_the_painting_process(twin, tmp_path):
    with Camera() as server, Live(twin([camera("card", server, tmp_path)])) as live:
        live.more("card", 20)
        state = live.state("card")
        assert state["painter"]["decoder"] == "NVDEC (h264)"
        assert state["painter"]["hosted"] == 0
        assert state["reader"]["forwarded"] > 20
        assert "decoded on the CPU" not in live.lines.text
    judge(tmp_path / "card.mkv")


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


BREAKS = """
def opened(stream):
    raise AttributeError("a library of another version")
"""


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
        live.more("bad", 10)
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


def test_dali_that_fails_group_after_group_leaves_it_to_the_reader(twin, tmp_path):
    with Camera() as server:
        one = camera("dali", server, tmp_path, decoder="dali")
        with Live(twin([one], "FAILS = True" + GROUPS)) as live:
            live.until(lambda: "the reader is to decode: DALI by NVDEC" in live.lines.text)
            live.until(lambda: ": decoded on the CPU: " in live.lines.text)
            live.more("dali", 20)
            assert live.painter("dali", "faults") == 0
    judge(tmp_path / "dali.mkv")
