"""How soon things go on: asking a camera that is away, processes that stand by."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import cv2
import pytest

from stream_anon.live.input import asking
from stream_anon.live.painting.rehearsal import FRAMES, rehearse
from stream_anon.live.standby import Standby
from stream_anon.media.cleared import FallbackLevel
from stream_anon.pipeline.painting.gate import Compositor
from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import camera, judge

pytestmark = pytest.mark.timeout(400)


class Listener:
    """Accepts, notes what it is told, and answers where it is told to."""

    def __init__(self, answer: bytes = b"", hangs_up: bool = False) -> None:
        self.answer, self.told, self._hangs_up = answer, b"", hangs_up
        self._clients: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._clients.append(client)
                self.told += client.recv(4096)
                if self.answer:
                    client.sendall(self.answer)
                if self._hangs_up:
                    client.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for one in (self._socket, *self._clients):
            one.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_is_asked_without_its_login_and_its_path(scheme):
    there = Listener(b"RTSP/1.0 401 Unauthorized\r\n\r\n")
    url = f"{scheme}://viewer:geheim-123@127.0.0.1:{there.port}/key-456?x=789"
    assert asking.answers(url)
    for secret in (b"viewer", b"geheim", b"key-456", b"789"):
        assert secret not in there.told
    there.close()
    assert not asking.answers(url), "nobody is there any more"


def test_a_server_that_hangs_up_on_the_question_is_there():
    there = Listener(b"", hangs_up=True)
    assert asking.answers(f"rtsp://127.0.0.1:{there.port}/", 20.0)
    there.close()


def test_a_server_that_accepts_and_is_silent_does_not_answer():
    there = Listener()
    began = time.monotonic()
    assert not asking.answers(f"rtsp://127.0.0.1:{there.port}/", 0.2)
    assert not asking.answers(f"rtsps://127.0.0.1:{there.port}/", 0.2)
    assert time.monotonic() - began < 20
    there.close()


def test_a_camera_over_tls_is_asked_over_tls():
    there = Listener(b"RTSP/1.0 200 OK\r\n\r\n")
    assert asking.answers(f"rtsps://127.0.0.1:{there.port}/", 5.0), "nonsense is an answer, too"
    assert there.told[:1] == b"\x16", "a TLS handshake"
    there.close()


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(asking, "time", clock)

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.mark.parametrize(
    ("back", "least", "most"),
    [
        (0.0, 0.9, 0.9),  # it was there all the time: it answers wrongly, and is not hurried
        (3.0, 3.0, 3.4),  # it comes back: at once
        (99.0, asking.LONGEST, asking.LONGEST + 0.4),  # it never answers: tried all the same
    ],
)
def test_who_comes_back_is_opened_at_once(monkeypatch, back, least, most):
    clock = Clock(monkeypatch)
    beats = []
    asking.wait(
        "rtsp://cam/1", 0.9, clock, lambda: beats.append(1), lambda url: clock.now >= back
    )
    assert least <= clock.now <= most + 1e-9
    assert beats


@pytest.mark.parametrize("url", ["tcp://a:1", "udp://a:1", "rtmp://a/b", "file:///a"])
def test_a_sender_that_takes_one_connection_is_not_asked(monkeypatch, url):
    clock = Clock(monkeypatch)
    assert asking.wait(url, 0.7, clock, lambda: None, pytest.fail) == 0
    assert clock.now == 0.7


def ready(standby: Standby) -> None:
    until = time.monotonic() + 90
    while not standby.ready:
        assert time.monotonic() < until
        standby.tick(time.monotonic())
        time.sleep(0.05)


def test_a_painter_that_stands_by_takes_over_and_the_camera_stays_open(tmp_path):
    with Camera() as server:
        chosen = config(tmp_path, [camera("a", server, tmp_path)], standby=True)
        with Live(chosen) as live:
            supervisor = live.run.supervisor
            live.more("a", 5)
            waiting = supervisor.standby["painter"]
            live.until(lambda: waiting.ready)
            light = supervisor.standby["reader"]
            live.until(lambda: light.ready)
            next_painter, next_reader = waiting.pid, light.pid
            reader = supervisor.cameras["a"].reader
            before, connects = reader.pid, live.reader("a", "connects")

            os.kill(supervisor.painters.of("a").pid, signal.SIGKILL)
            live.until(lambda: supervisor.painters.of("a").pid == next_painter)
            live.more("a", 10)
            assert reader.pid == before
            assert live.reader("a", "connects") == connects
            assert server.sessions == 1

            os.kill(reader.pid, signal.SIGKILL)
            live.until(lambda: reader.pid == next_reader)
            live.more("a", 10)
            # And others come to stand where they stood.
            live.until(lambda: waiting.ready and light.ready)
            assert waiting.pid != next_painter
            kept = [waiting.pid, light.pid]
        assert not [pid for pid in kept if os.path.exists(f"/proc/{pid}")]
    judge(tmp_path / "a.mkv")


def test_one_that_stands_by_and_dies_is_replaced():
    standby = Standby(("reader", "writer"), dict)
    try:
        ready(standby)
        first = standby.pid
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 60
        while standby.pid == first and time.monotonic() < until:
            standby.tick(time.monotonic())
            time.sleep(0.02)
        assert standby.pid is None
        assert standby.take(time.monotonic()) is None
    finally:
        standby.end()
        standby.end()


def test_a_rehearsal_goes_all_the_way_and_keeps_no_more_than_detectors(tmp_path, monkeypatch):
    chosen = config(tmp_path, [{"name": "a", "source": "file:///a.mp4"}])
    engine = chosen.engine(chosen.cameras[0]).model_dump(mode="json")
    painted, closed = [], []
    paint, close = Compositor.paint, Compositor.close
    monkeypatch.setattr(
        Compositor, "paint",
        lambda self, frame, regions: painted.append(paint(self, frame, regions)) or painted[-1],
    )  # fmt: skip
    monkeypatch.setattr(
        Compositor, "close", lambda self: closed.append(close(self)) or closed[-1]
    )
    form = {"width": 320, "height": 240, "rate": 25.0}
    threads = cv2.getNumThreads()
    try:
        prepared = rehearse(
            {
                "pipeline": chosen.pipeline,
                # The second one is prepared by the first; the third makes no sense.
                "cameras": [
                    {"engine": engine, "form": form}, {"engine": engine, "form": form},
                    {"engine": {"method": {"name": "nothing"}}, "form": None},
                ],
            }
        )  # fmt: skip
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(threads)
    assert len(prepared.detectors) == 1
    assert len(painted) == FRAMES
    assert any(one.painted == (1,) for one in painted), "nobody was painted"
    assert all(one.level == FallbackLevel.METHOD for one in painted)
    assert len(closed) == 1
