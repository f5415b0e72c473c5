"""Cameras with the faults that cameras have, all at once, and what comes out of it."""

from __future__ import annotations

import pytest

from tests.live.harness import Live, config
from tests.live.rtsp_server import Camera
from tests.live.scene import Verdict


def camera(name, server, folder, **more):
    return {
        "name": name, "source": server.url, "timeout": 3.0, "latency": "low",
        "outputs": [{"record": str(folder / f"{name}.mkv")}], **more,
    }  # fmt: skip


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_first(tmp_path, transport):
    with Camera() as server:
        with Live(config(tmp_path, [camera("a", server, tmp_path, transport=transport)])) as live:
            live.more("a", 60)
            print(live.run.status.snapshot())
        print(live.lines.text)
    verdict = Verdict(tmp_path / "a.mkv")
    print(verdict.frames, verdict.raw, verdict.worst, verdict.steps.max(), verdict.numbers)
    assert verdict.raw == 0
    assert verdict.frames > 60
