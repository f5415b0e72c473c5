"""Cameras with the faults that cameras have, and processes that die: never a raw picture.

One run holds several cameras, each with a fault of its own, since starting one takes seconds.
Nothing here measures time: it waits until a thing has happened, however busy the machine is.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.scene import FRAMES, RATE, RAW, Verdict, encoded, frame, likeness, side_of

pytestmark = pytest.mark.timeout(400)
"""A busy machine is slow; what hangs is told by the waits themselves."""


def camera(name, server, folder, **more):
    return {
        "name": name, "source": server.url, "timeout": 2.0, "latency": "low",
        "outputs": [{"record": str(folder / f"{name}.mkv")}], **more,
    }  # fmt: skip


def judge(path, *sides: int) -> Verdict:
    """Look at a recording: whole, of one size, in order, and nobody to be seen."""
    found = Verdict(path, sides or None)
    assert found.raw == 0, f"{path.name}: {found.raw} raw frames, likeness {found.worst:.2f}"
    assert len(found.sizes) == 1
    assert (found.steps > 0).all()
    assert any(number is not None for number in found.numbers)
    return found


def test_the_judge_sees_what_is_raw():
    luma = frame(7, 320, 240)[..., 1]
    assert likeness(luma, (side_of(240),)) > RAW + 0.2
    assert len(encoded(320, 240)) == FRAMES


def lose_the_network(live, server):
    server.kick()
    live.until(lambda: live.reader("net", "connects") >= 2)
    live.more("net", 5)
    server.stop()
    live.until(lambda: live.painter("net", "slates") > 15)
    server.start()
    live.more("net", 5)
    server.stalled = True
    live.until(lambda: live.reader("net", "failures") >= 3)
    server.stalled = False
    live.more("net", 5)
    server.silent = True
    server.kick()
    live.until(lambda: live.reader("net", "failures") >= 5)
    server.silent = False
    live.more("net", 5)


def lose_packets(live, server):
    server.lose = 9
    live.until(lambda: live.reader("loss", "damaged") >= 5)
    server.lose = 0
    # Whole frames come again when a keyframe has.
    live.more("loss", 40)


def change_form(live, server):
    for size in ((640, 480), (320, 240), (480, 270)):
        before = live.reader("form", "changes")
        server.size = size
        live.until(lambda before=before: live.reader("form", "changes") > before)
        live.more("form", 5)
    for rate in (8.0, 60.0, 25.0):
        server.rate = rate
        live.more("form", 10)
    for codec in ("hevc", "h264"):
        before = live.reader("form", "connects")
        server.codec = codec
        # A camera that changes its codec describes itself anew.
        server.kick()
        live.until(lambda before=before: live.reader("form", "connects") > before)
        live.more("form", 10)


def break_the_clock(live, server):
    began = {}

    def from_now(stamp):
        def found(index):
            return stamp(index, index - began.setdefault(stamp, index))

        return found

    for stamp in (
        lambda index, n: index / RATE + 5000,  # ahead by more than an hour
        lambda index, n: n / RATE,  # back to nothing
        lambda index, n: 3.0,  # standing still
        lambda index, n: (2**32 / 90000) - 0.2 + n / RATE,  # about to wrap
        lambda index, n: 100 - n / RATE,  # running back
    ):
        server.stamp = from_now(stamp)
        live.more("clock", 15)


def test_cameras(tmp_path):
    with Camera() as net, Camera() as loss, Camera() as form, Camera() as clock:
        cameras = [
            camera("net", net, tmp_path),
            camera("loss", loss, tmp_path, transport="udp"),
            camera("form", form, tmp_path),
            camera("clock", clock, tmp_path),
        ]
        with Live(config(tmp_path, cameras)) as live:
            for name in ("net", "loss", "form", "clock"):
                live.more(name, 5)
            jobs = [
                Job(lose_the_network, live, net),
                Job(lose_packets, live, loss),
                Job(change_form, live, form),
                Job(break_the_clock, live, clock),
            ]
            for job in jobs:
                job.end()
            states = live.run.status.snapshot()
        assert "Traceback" not in live.lines.text
    # The players' connection, here a file, was opened once for all that happened.
    assert all(one["outputs"]["0-record"]["opens"] == 1 for one in states.values())
    assert all(one["painter"]["faults"] == 0 for one in states.values())
    for name in ("net", "clock", "loss"):
        judge(tmp_path / f"{name}.mkv")
    # 480x270 stands in 320x240 with borders, two thirds as large.
    judge(tmp_path / "form.mkv", side_of(240), side_of(180))
    down = states["loss"]["painter"]["stepped_down"]
    assert down.get("pixelated", 0) > 0, "damaged frames are covered whole"
    assert states["net"]["painter"]["slates"] > 15


class Job:
    """Something done to one camera, in a thread."""

    def __init__(self, action, *arguments) -> None:
        self._error: BaseException | None = None

        def body() -> None:
            try:
                action(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised by ``end``
                self._error = error

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


def test_processes_that_die_or_hang_are_started_anew(tmp_path):
    with Camera() as server:
        chosen = config(tmp_path, [camera("a", server, tmp_path)], stall=3.0)
        with Live(chosen) as live:
            supervisor = live.run.supervisor
            reader = supervisor.cameras["a"].reader
            writer = supervisor.cameras["a"].outputs[0].process
            live.more("a", 5)
            for process in (reader, supervisor.painters.of("a"), writer):
                before = process.starts
                os.kill(process.pid, signal.SIGKILL)
                live.until(lambda p=process, b=before: p.starts > b and p.alive)
                live.more("a", 5)
            # One that does not die, and does nothing.
            painter = supervisor.painters.of("a")
            before = painter.kills
            os.kill(painter.pid, signal.SIGSTOP)
            live.until(lambda: painter.kills > before and painter.alive)
            live.more("a", 5)
            kept = live.run.status.snapshot()["a"]["painter"]["frames_in"]
        assert kept > live.painter("a", "held")
    # The writer that was killed left a file that can be read up to where it was.
    parts = sorted(tmp_path.glob("*.mkv"))
    assert len(parts) == 2
    for path in parts:
        judge(path)


SLOW = """
import time
from stream_anon import recipes
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.methods import Pixelate
from tests.live.scene import Finder

usual = recipes.pipeline("live")

class Slow(Pixelate):
    name = "slow"

    def render(self, crops, subjects):
        time.sleep(0.3)
        return super().render(crops, subjects)

def detector(config):
    return Finder()

def compositor(config):
    if config.method.name != "blur":
        return usual.compositor(config)
    return Compositor(Slow(), config.fault)

def build(config, found_by, info):
    return usual.build(config, found_by, info)[0], compositor(config)
"""


def test_who_is_too_slow_steps_down_and_shows_nobody(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    with Camera() as server:
        more = {"method": {"name": "blur"}, "overload": {"backlog": "100ms", "patience": "200ms"}}
        chosen = config(tmp_path, [camera("a", server, tmp_path)], **more)
        chosen = chosen.model_copy(update={"pipeline": str(path)})
        with Live(chosen) as live:
            # The first step that helps is another method: it paints every frame in time.
            live.until(lambda: live.painter("a", "level") >= 1)
            live.more("a", 50)
            assert live.painter("a", "faults") == 0
            left_out = live.reader("a", "skipped") + live.painter("a", "left_out")
            assert left_out > 0, "frames are left out, not queued"
        assert "frames are late" in live.lines.text
    judge(tmp_path / "a.mkv")


@pytest.fixture
def certificate(tmp_path):
    """A certificate of 127.0.0.1 that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, own = tmp_path / "key.pem", tmp_path / "own.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-keyout", str(key), "-out", str(own), "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    return own, context


def test_a_camera_over_tls(tmp_path, certificate):
    own, context = certificate
    with Camera(tls=context) as server:
        trusting = camera("trusting", server, tmp_path, ca_file=str(own))
        strict = camera("strict", server, tmp_path)
        blind = camera("blind", server, tmp_path, tls_verify=False)
        with Live(config(tmp_path, [trusting, strict, blind])) as live:
            live.more("trusting", 10)
            live.more("blind", 10)
            live.until(lambda: live.reader("strict", "failures") >= 2)
            assert live.reader("strict", "frames") == 0
    judge(tmp_path / "trusting.mkv")


def test_nothing_is_left_of_a_run(tmp_path):
    def descriptors():
        return set(os.listdir("/proc/self/fd"))

    def children():
        own = os.getpid()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:
                        fields = file.read().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == own:
                    found.append(name)
        return found

    shm, threads = set(os.listdir("/dev/shm")), set(threading.enumerate())
    before, kids = len(descriptors()), set(children())
    with Camera() as server:
        with Live(config(tmp_path, [camera("a", server, tmp_path)])) as live:
            live.more("a", 5)
            assert set(children()) - kids
        assert not set(children()) - kids
    until = time.monotonic() + 30
    while time.monotonic() < until and (
        len(descriptors()) > before or set(threading.enumerate()) - threads
    ):
        time.sleep(0.05)
    assert len(descriptors()) <= before
    assert not [t for t in set(threading.enumerate()) - threads if t.is_alive()]
    assert set(os.listdir("/dev/shm")) <= shm
    judge(tmp_path / "a.mkv")
