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
