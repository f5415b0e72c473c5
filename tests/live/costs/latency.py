"""Latency from end to end, by the frame's number that is painted into the scene.

    python -m tests.live.costs.latency [--seconds 10] [--size 640x360] [--latency low] ...

A camera sends over RTSP and notes when it sent each frame; a player of another process takes the
result as MPEG-TS over TCP, decodes it and notes when it saw which number. Both go by the machine's
monotonic clock. Told are seconds, and seconds beyond the look-back; they mean something on a
machine that is not busy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import av

from stream_anon.live.latency import BUDGETS
from tests.live.harness import ROOT, Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.scene import FRAMES, number
from tests.live.test_outputs import free_port

PLAYER = """
import sys
from tests.live.costs.latency import play
play(sys.argv[1])
"""


def play(url: str) -> None:
    """Decode a stream without delay, and print each frame's number and when it was seen."""
    options = {"analyzeduration": "0", "probesize": "5000", "fflags": "nobuffer"}
    with av.open(url, format="mpegts", options=options) as container:
        video = container.streams.video[0]
        video.codec_context.flags |= 1 << 19
        for av_frame in container.decode(video):
            found = number(av_frame.to_ndarray(format="gray"))
            if found is not None:
                print(found, time.monotonic(), flush=True)


def measure(mode: str, width: int, height: int, seconds: float) -> dict[str, Any]:
    """Median and 95th percentile of one mode."""
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as temporary, Camera(width, height) as server:
        player = subprocess.Popen(
            [sys.executable, "-c", PLAYER, f"{url}?listen=1"], cwd=ROOT, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        )  # fmt: skip
        delays: list[float] = []

        def read() -> None:
            assert player.stdout is not None
            for line in player.stdout:
                which, when = line.split()
                sent = server.sent.get(int(which))
                # A number comes again after four seconds; the latest one before it is meant.
                if sent is not None:
                    late = float(when) - sent
                    delays.append(late if late > 0 else late + FRAMES / 25)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        camera = {
            "name": "a", "source": server.url, "latency": mode, "outputs": [{"url": url}],
        }  # fmt: skip
        with Live(config(Path(temporary), [camera])) as live:
            live.more("a", 50)
            delays.clear()
            time.sleep(seconds)
            found = sorted(delays)
        player.kill()
        player.wait()
        thread.join(10)
    if not found:
        raise AssertionError(f"no frame was seen: {live.lines.text}")
    wait = BUDGETS[mode].look_back
    p50, p95 = found[len(found) // 2], found[int(len(found) * 0.95)]
    return {
        "latency": mode, "frames": len(found), "p50": round(p50, 3), "p95": round(p95, 3),
        "p50_beyond_look_back": round(p50 - wait, 3), "p95_beyond_look_back": round(p95 - wait, 3),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--latency", action="append", choices=list(BUDGETS))
    given = parser.parse_args()
    wide, high = map(int, given.size.split("x"))
    for one in given.latency or BUDGETS:
        print(json.dumps(measure(one, wide, high, given.seconds)), flush=True)
