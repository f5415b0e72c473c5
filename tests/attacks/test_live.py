"""Attempts on a live stream: parts that fail now and then, and processes that talk nonsense."""

from __future__ import annotations

import ast
import socket

import pytest

from stream_anon.live.clock import TICKS
from stream_anon.live.painting.source import RingSource
from stream_anon.live.ring import Ring
from stream_anon.live.wire import Wire
from stream_anon.media.packets import Gap
from tests.attacks.test_pass import _calls, _sources
from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import camera, judge

pytestmark = pytest.mark.timeout(400)

MOODY = """
import itertools
from stream_anon import recipes
from stream_anon.methods import Pixelate
from stream_anon.pipeline.painting.gate import Compositor
from tests.live.scene import Finder

usual = recipes.pipeline("live")

class Moody(Finder):
    calls = itertools.count()

    def detect(self, view, quarter_turns=0):
        if next(self.calls) % 3 == 0:
            raise ValueError("not today")
        return super().detect(view, quarter_turns)

class Sulky(Pixelate):
    calls = itertools.count()

    def render(self, crops, subjects):
        if next(self.calls) % 4 == 0:
            raise MemoryError
        return super().render(crops, subjects)

class Broken(Compositor):
    calls = itertools.count()

    def paint(self, frame, regions):
        if next(self.calls) % 20 == 19:
            raise RuntimeError("nobody expects this")
        return super().paint(frame, regions)

def detector(config):
    # Detectors are shared by cameras with the same options.
    return Moody() if config.detector.threshold == 0.2 else Finder()

def compositor(config):
    if config.method.name == "blur":
        return Compositor(Sulky(), config.fault)
    if config.method.name == "fill":
        return Broken(Pixelate(), config.fault)
    return usual.compositor(config)

def build(config, found_by, info):
    return usual.build(config, found_by, info)[0], compositor(config)
"""


def test_parts_that_fail_now_and_then_show_nobody(tmp_path):
    path = tmp_path / "moody.py"
    path.write_text(MOODY)
    with Camera() as server:
        cameras = [
            camera(name, server, tmp_path, method={"name": name})
            for name in ("pixelate", "blur", "fill")
        ]
        chosen = config(tmp_path, cameras, overload={"backlog": "10s"})
        chosen = chosen.model_copy(update={"pipeline": str(path)})
        with Live(chosen) as live:
            for one in cameras:
                live.more(one["name"], 20)
            live.until(lambda: live.painter("fill", "faults") >= 1)
            states = live.run.status.snapshot()
    for one in cameras:
        name = one["name"]
        judge(tmp_path / f"{name}.mkv")
        # The detector fails for all of them: of those frames nobody knows what is in them.
        assert states[name]["painter"]["stepped_down"].get("pixelated", 0) > 0, name
    assert states["blur"]["painter"]["stepped_down"].get("fill", 0) > 0
    assert states["pixelate"]["painter"]["faults"] == 0


FORM = {"type": "format", "width": 64, "height": 48, "rate": 25.0, "slots": 2}
FRAME = {"type": "frame", "slot": 0, "sequence": 1, "pts": 5, "matrix": 2}


@pytest.mark.parametrize(
    "lies",
    [
        [{"type": "frame"}],
        [{**FRAME}],
        [FORM, {**FRAME, "slot": 7}],
        [FORM, {**FRAME, "slot": -1}],
        [FORM, {**FRAME, "slot": "0"}],
        [FORM, {**FRAME, "pts": None}],
        [{**FORM, "width": 66}],
        [{**FORM, "width": 1 << 20}],
        [{**FORM, "rate": "fast"}],
        [{**FORM, "rate": 1e9}],
        [{**FORM, "slots": 10**6}],
        [FORM, {**FORM, "width": 48, "height": 64}],
        [FORM, {"type": "nothing"}],
    ],
)
def test_a_reader_that_lies_is_hung_up_on(lies):
    """A reader parses what a network sends; whoever has taken it over gets nothing out of it."""
    here, there = Wire.pair()
    ring = Ring.create(64, 48, 2)
    source = RingSource("a", lambda: TICKS)
    source.attach(Wire(there))
    for lie in lies:
        fds = (ring.descriptor,) if lie.get("type") == "format" else ()
        here.send(lie, fds=fds)
    found = [source.next(0.05) for _ in range(6)]
    assert Gap(0, "reconnect") in found
    assert not [one for one in found if one is not None and not isinstance(one, Gap)]
    assert not here.send({"type": "still there?"}), "somebody still listens"
    source.close()
    ring.close()
    here.close()


def test_a_slot_that_is_written_while_it_is_read_is_left_out():
    here, there = socket.socketpair()
    wire = Wire(here)
    ring = Ring.create(64, 48, 2)
    source = RingSource("a", lambda: 5)
    source.attach(Wire(there))
    wire.send(FORM, fds=(ring.descriptor,))
    # What lies in the slot is another frame by now.
    wire.send({**FRAME, "sequence": 3})
    assert [source.next(0.05) for _ in range(4)] == [None] * 4
    assert source.torn == 1
    source.close()
    ring.close()
    wire.close()


def test_live_frames_meet_an_encoder_in_one_place():
    """What encodes a frame lies in one file, which takes ``Cleared``; writers get packets."""
    found = {
        name
        for name, tree in _sources()
        for call, node in _calls(tree)
        if name.startswith("stream_anon/live/")
        and (
            call in ("add_stream", "encode", "encode_jpeg", "encode_jpeg_yuv_planes", "imwrite")
            or (call == "create" and any(getattr(a, "value", "") == "w" for a in node.args))
        )
        # Text is encoded, too.
        and not (call == "encode" and not node.args)
    }
    assert found == {"stream_anon/live/painting/encoder.py"}
    for name, tree in _sources():
        if name.startswith(("stream_anon/live/output", "stream_anon/live/operation")):
            # Nothing there could hold a frame.
            words = ast.dump(tree)
            assert "VideoFrame" not in words, name
            assert "Ring" not in words, name
