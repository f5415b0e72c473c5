"""Where streams go: every kind of output at once, and outputs that fail alone."""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from tests.live.harness import ROOT, Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.scene import Verdict
from tests.live.test_faults import judge

FRAMES = 40

pytestmark = pytest.mark.timeout(400)
"""A busy machine is slow; what hangs is told by the waits themselves."""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def receiver(kind: str, url: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.live.peers.receiver", kind, url, str(FRAMES), *options],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


class Hung:
    """A server that accepts connections, says nothing, and takes nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # Of what is sent, as little as possible disappears in buffers.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            self.clients.append(client)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self.clients:
            client.close()


def test_every_kind_of_output_carries_the_anonymized_stream(tmp_path):
    rtsp, rtmp, ts, again = (free_port() for _ in range(4))
    udp = free_port(socket.SOCK_DGRAM)
    listens = ("rtsp_flags=listen", "listen_timeout=90")
    receivers = {
        "rtsp": receiver("rtsp", f"rtsp://127.0.0.1:{rtsp}/out", *listens),
        "rtsp over udp": receiver("rtsp", f"rtsp://127.0.0.1:{again}/out", *listens),
        "rtmp": receiver("flv", f"rtmp://127.0.0.1:{rtmp}/live/out", "listen=1"),
        "tcp": receiver("mpegts", f"tcp://127.0.0.1:{ts}?listen=1"),
        "udp": receiver("mpegts", f"udp://127.0.0.1:{udp}?timeout=90000000"),
    }
    outputs = [
        {"url": f"rtsp://127.0.0.1:{rtsp}/out"},
        {"url": f"rtsp://127.0.0.1:{again}/out", "transport": "udp"},
        {"url": f"rtmp://127.0.0.1:{rtmp}/live/out"},
        {"url": f"tcp://127.0.0.1:{ts}"},
        {"url": f"udp://127.0.0.1:{udp}"},
        {"hls": str(tmp_path / "hls"), "segment": "1s"},
        {"record": str(tmp_path / "segments"), "segment": "1s", "keep": "1h"},
    ]
    with Camera() as server:
        camera = {"name": "a", "source": server.url, "latency": "low", "outputs": outputs}
        with Live(config(tmp_path, [camera])) as live:
            told = {}
            for name, process in receivers.items():
                out, errors = process.communicate(timeout=100)
                assert process.returncode == 0, f"{name}: {errors}\n{live.lines.text}"
                told[name] = json.loads(out)
            live.until(lambda: len(list((tmp_path / "segments").glob("a-*.mp4"))) >= 3)
            live.until(lambda: len(list((tmp_path / "hls").glob("*.m4s"))) >= 3)
    for name, one in told.items():
        assert one["frames"] == FRAMES, name
        assert one["raw"] == 0, f"{name}: {one}"
        assert one["numbers"] > 0, f"{name}: {one}"
        assert one["backwards"] == 0, f"{name}: {one}"
        assert one["sizes"] == [[320, 240]], name
    judge(tmp_path / "hls" / "index.m3u8")
    segments = sorted((tmp_path / "segments").iterdir())
    assert len(segments) >= 3
    assert all(path.name.startswith("a-") and path.suffix == ".mp4" for path in segments)
    for path in segments[:3]:
        assert Verdict(path).raw == 0


def test_what_comes_out_can_go_in_again(tmp_path):
    """MPEG-TS over TCP (listening) and UDP, HLS over HTTP and a file, as sources."""
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    hls = tmp_path / "hls"
    hls.mkdir()
    serve = functools.partial(Quiet, directory=str(hls))
    with Camera() as server, http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        first = {
            "name": "first", "source": server.url, "latency": "low", "outputs": [
                {"url": f"tcp://127.0.0.1:{tcp}"}, {"url": f"udp://127.0.0.1:{udp}"},
                {"hls": str(hls), "segment": "1s"}, {"record": str(tmp_path / "first.mkv")},
            ],
        }  # fmt: skip
        sources = {
            "tcp": f"tcp://127.0.0.1:{tcp}?listen=1",
            "udp": f"udp://127.0.0.1:{udp}",
            "hls": f"http://127.0.0.1:{web.server_address[1]}/index.m3u8",
        }
        again = [
            {
                "name": name, "source": source, "timeout": 20.0,
                "outputs": [{"record": str(tmp_path / f"{name}.mkv")}],
            }
            for name, source in sources.items()
        ]  # fmt: skip
        with Live(config(tmp_path, [first, *again])) as live:
            for name in ("first", *sources):
                live.more(name, 30)
        web.shutdown()
    for name in sources:
        judge(tmp_path / f"{name}.mkv")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_an_output_that_fails_harms_no_other(tmp_path):
    (tmp_path / ".full.mkv.part").symlink_to("/dev/full")
    hung, gone = Hung(), free_port()
    outputs = [
        {"record": str(tmp_path / "good.mkv")},
        {"url": f"rtsp://127.0.0.1:{hung.port}/silent", "timeout": "1s"},
        {"url": f"tcp://127.0.0.1:{hung.port}", "timeout": "1s"},
        {"url": f"rtmp://127.0.0.1:{gone}/refused", "timeout": "1s"},
        {"record": str(tmp_path / "full.mkv")},
    ]
    with Camera() as server:
        camera = {"name": "a", "source": server.url, "latency": "low", "outputs": outputs}
        with Live(config(tmp_path, [camera])) as live:

            def state(index: int) -> dict[str, int]:
                return live.state("a")["outputs"].get(live_names[index], {})

            live_names = [one.name for one in live.run.supervisor.cameras["a"].outputs]
            silent = live.run.supervisor.cameras["a"].outputs[1].process
            live.until(lambda: silent.kills + state(1).get("failures", 0) >= 1, "silent")
            live.until(lambda: state(3).get("failures", 0) >= 1, "refused")
            live.until(lambda: state(4).get("failures", 0) >= 1, "full")
            live.more("a", 30)
            states = live.state("a")
    hung.close()
    assert states["outputs"]["0-record"]["opens"] == 1
    assert states["outputs"]["0-record"]["failures"] == 0
    assert states["painter"]["faults"] == 0
    found = judge(tmp_path / "good.mkv")
    assert found.frames >= 30
    assert "no space left" in live.lines.text
