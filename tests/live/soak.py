"""Four cameras, with everything going wrong again and again.

    python -m tests.live.soak [--minutes 15] [--width 640] [--height 360] [--out FOLDER]

Prints what happened as JSON; the exit code is 1 where something did that must not. Every recorded
frame is looked at. Memory, descriptors, threads and processes are counted over time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from tests.live.harness import Live, config
from tests.live.peers.listener import Listener
from tests.live.peers.rtsp_server import Camera
from tests.live.scene import Verdict, encoded, side_of

SETTLED = 120.0
"""Seconds after which memory must not grow."""
GROWTH = 0.05
EMPTY = 50_000
"""Bytes of MPEG-TS that may lack a whole frame."""
SLOW = 4.0
"""Seconds of a recovery whose log lines are kept."""
CAMERAS = ("north", "east", "south", "west")
SENDER = "south"
"""Of the four, the one whose stream also goes to a server."""


class Keeper(Listener):
    """A server that takes MPEG-TS over TCP and keeps what each connection brought.

    Args:
        folder: for the files.

    Attributes:
        taken: bytes so far.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._count, self.taken = folder, 0, 0
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        """See ``Listener``."""
        self._count += 1
        path = self._folder / f"{self._count}.ts"
        with client, path.open("wb") as file, contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                file.write(data)
                self.taken += len(data)


class Soak:
    """A run, its cameras, and what was done to them."""

    def __init__(
        self, live: Live, servers: dict[str, Camera], keeper: Keeper, seconds: float
    ) -> None:
        self.live, self.servers, self.keeper = live, servers, keeper
        self.until = time.monotonic() + seconds
        self.done: Counter[str] = Counter()
        self.recovery: dict[str, list[float]] = {}
        self.slow: list[list[str]] = []
        self.samples: list[dict[str, float]] = []
        self._began = time.monotonic()
        self._sampled = 0.0

    def go(self) -> None:
        """Fault after fault, at random, until the time is over."""
        faults = [
            self.kick, self.go_away, self.stall, self.silent, self.lose, self.form, self.clock,
            self.codec, self.rate, self.kill_reader, self.kill_writer, self.no_server, self.no_disk,
        ]  # fmt: skip
        order: list[Any] = []
        while time.monotonic() < self.until:
            if not order:
                order = random.sample(faults, len(faults))
                # A painter serves several cameras: once a round.
                order.append(self.kill_painter)
            order.pop(0)(random.choice(CAMERAS))
            self.wait(0.5)

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.sample()
            time.sleep(min(0.2, max(0.0, until - time.monotonic())))

    def back(self, fault: str, name: str, since: float) -> None:
        """Wait for the camera's next frames, and note how long they took."""
        self.again(fault, lambda: self.live.shown(name), since)
        if time.monotonic() - since > SLOW:
            self.slow.append([fault, name, *self.live.lines.text.splitlines()[-8:]])

    def kick(self, name: str) -> None:
        self.servers[name].kick()
        self.wait(0.7)
        self.back("connection lost", name, time.monotonic())

    def go_away(self, name: str) -> None:
        self.servers[name].stop()
        self.wait(random.uniform(1, 4))
        self.servers[name].start()
        self.back("camera away", name, time.monotonic())

    def stall(self, name: str) -> None:
        self.servers[name].stalled = True
        self.wait(random.uniform(1, 4))
        self.servers[name].stalled = False
        self.back("stall", name, time.monotonic())

    def silent(self, name: str) -> None:
        self.servers[name].silent = True
        self.servers[name].kick()
        self.wait(3)
        self.servers[name].silent = False
        self.back("silent server", name, time.monotonic())

    def lose(self, name: str) -> None:
        self.servers[name].lose = random.choice((5, 20, 50))
        self.wait(2)
        self.servers[name].lose = 0
        self.back("packets lost", name, time.monotonic())

    def form(self, name: str) -> None:
        server, before = self.servers[name], self.servers[name].size
        larger = (before[0] * 3 // 2, before[1] * 3 // 2)
        # The camera's own work, which takes seconds the first time, is none of ours.
        encoded(*larger)
        server.size = larger
        self.wait(1.5)
        server.size = before
        self.wait(0.5)
        self.back("size changed", name, time.monotonic())

    def clock(self, name: str) -> None:
        base = random.choice((0.0, 2**32 / 90000 - 1, 1e4, -5.0))
        slope = random.choice((1 / 25, 0.0, -1 / 25))
        first: list[int] = []

        def stamp(index: int) -> float:
            first.append(index) if not first else None
            return base + (index - first[0]) * slope

        self.servers[name].stamp = stamp
        self.wait(1.5)
        self.servers[name].stamp = lambda index: index / 25
        self.back("clock", name, time.monotonic())

    def codec(self, name: str) -> None:
        """Another codec, as after a change of the camera's settings: it hangs up first."""
        server = self.servers[name]
        server.codec = "hevc" if server.codec == "h264" else "h264"
        # The camera's own work, as above.
        encoded(*server.size, codec=server.codec)
        server.kick()
        self.wait(0.7)
        self.back("codec changed", name, time.monotonic())

    def rate(self, name: str) -> None:
        self.servers[name].rate = random.choice((8.0, 15.0, 40.0))
        self.wait(1.5)
        self.servers[name].rate = 25.0
        self.back("frame rate changed", name, time.monotonic())

    def no_server(self, _: str) -> None:
        """The output's server goes away; the camera's recording goes on."""
        self.keeper.go_away()
        self.wait(random.uniform(0.5, 2))
        self.live.more(SENDER, 1)
        self.keeper.come_back()
        self.again("server of an output away", lambda: self.keeper.taken)

    def no_disk(self, name: str) -> None:
        """The disk takes no more: writing fails as it does on a full one, but for the reason."""
        writer = self.live.run.supervisor.cameras[name].outputs[0].process
        if writer.pid is None:
            return
        failures = self.output(name, "failures")
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        until = time.monotonic() + 10
        while self.output(name, "failures") <= failures and time.monotonic() < until:
            self.wait(0.1)
        assert self.output(name, "failures") > failures, "the writer wrote on"
        self.live.more(name, 1)
        with contextlib.suppress(ProcessLookupError):
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, unlimited)
        self.again("disk full", lambda: self.output(name, "packets"))

    def output(self, name: str, counter: str) -> int:
        """Of a camera's recording."""
        found = self.live.state(name)["outputs"].get("0-record", {})
        return int(found.get(counter) or 0)

    def again(self, fault: str, count: Callable[[], int], since: float | None = None) -> None:
        """Wait until something is counted on, and note how long that took."""
        before, since = count(), time.monotonic() if since is None else since
        while count() <= before:
            self.sample()
            time.sleep(0.05)
            assert time.monotonic() - since < 90, f"{fault}: {self.live.lines.text}"
        self.done[fault] += 1
        self.recovery.setdefault(fault, []).append(time.monotonic() - since)

    def kill_reader(self, name: str) -> None:
        self._kill(self.live.run.supervisor.cameras[name].reader, "reader killed", name)

    def kill_writer(self, name: str) -> None:
        output = self.live.run.supervisor.cameras[name].outputs[0]
        self._kill(output.process, "writer killed", name)

    def kill_painter(self, name: str) -> None:
        self._kill(self.live.run.supervisor.painters.of(name), "painter killed", name)

    def _kill(self, process: Any, fault: str, name: str) -> None:
        if process.pid is not None:
            since = time.monotonic()
            os.kill(process.pid, signal.SIGKILL)
            self.wait(0.3)
            self.back(fault, name, since)

    def sample(self) -> None:
        """Count what must not grow, every second."""
        now = time.monotonic()
        if now < self._sampled + 1.0:
            return
        self._sampled = now
        processes = [one for one in self.live.run.supervisor.processes if one.pid is not None]
        painter = self.live.run.supervisor.painters.of(CAMERAS[0])
        found: dict[str, float] = {"seconds": now - self._began, "processes": len(processes)}
        found["supervisor"] = resident(os.getpid())
        found["descriptors"] = len(os.listdir("/proc/self/fd"))
        if painter is not None and painter.pid is not None:
            found["painter"] = resident(painter.pid)
            found["painter_starts"] = painter.starts
        self.samples.append(found)


def resident(pid: int) -> float:
    """Megabytes."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def grown(samples: list[dict[str, float]], name: str) -> float | None:
    """By which share it grew from just after it had settled to the end, by medians."""
    settled = [s for s in samples if s["seconds"] > SETTLED and s.get(name)]
    if len(settled) < 60:
        return None
    part = len(settled) // 5

    def median(some: list[dict[str, float]]) -> float:
        return sorted(s[name] for s in some)[len(some) // 2]

    return median(settled[-part:]) / median(settled[:part]) - 1.0


def main(minutes: float, width: int, height: int, folder: Path) -> dict[str, Any]:
    servers = {name: Camera(width, height) for name in CAMERAS}
    keeper = Keeper(folder / "server")
    cameras = [
        {
            "name": name, "source": server.url, "latency": "low", "timeout": 2.0,
            "transport": "udp" if name == "west" else "tcp",
            "outputs": [{"record": str(folder / name), "segment": 30.0}],
        }
        for name, server in servers.items()
    ]  # fmt: skip
    sender = cameras[CAMERAS.index(SENDER)]["outputs"]
    sender.append({"url": f"tcp://127.0.0.1:{keeper.port}", "timeout": 2.0})
    began = os.times()
    with keeper, Live(config(folder, cameras, standby=True)) as live:
        for name in CAMERAS:
            live.more(name, 10)
        soak = Soak(live, servers, keeper, minutes * 60)
        soak.go()
        snapshot = live.run.status.snapshot()
    for server in servers.values():
        server.stop()
    raw = frames = backwards = 0
    sizes, worst = set(), 0.0
    # What was larger stands in the picture as large as ever: it is scaled.
    for path in sorted([*folder.glob("*/*.mp4"), *folder.glob("*/*.ts")]):
        verdict = looked_at(path, side_of(height))
        if verdict is None:
            continue
        raw, frames = raw + verdict.raw, frames + verdict.frames
        backwards += int((verdict.steps <= 0).sum())
        sizes |= verdict.sizes
        worst = max(worst, verdict.worst)
    spent = os.times()
    recovered = {
        fault: {"times": len(all_), "median": sorted(all_)[len(all_) // 2], "worst": max(all_)}
        for fault, all_ in sorted(soak.recovery.items())
    }
    total = Counter[str]()
    for one in snapshot.values():
        for key in ("frames_in", "frames_out", "slates", "painted", "faults", "late"):
            total[key] += one["painter"].get(key) or 0
        total["skipped"] += one["reader"].get("skipped") or 0
    return {
        "minutes": minutes, "frames_recorded": frames, "raw": raw, "worst_likeness": worst,
        "backwards": backwards, "sizes": sorted(sizes), "faults": dict(soak.done),
        "recovery_seconds": recovered, "counters": dict(total),
        "slow": soak.slow,
        "growth": {name: grown(soak.samples, name) for name in ("supervisor", "descriptors")},
        "processor_seconds": spent.children_user + spent.children_system
        - began.children_user - began.children_system,
        "samples": soak.samples[:: max(1, len(soak.samples) // 40)],
    }  # fmt: skip


def looked_at(path: Path, side: int) -> Verdict | None:
    """What a file shows; None where a connection ended before it brought a frame."""
    try:
        return Verdict(path, (side,))
    except (av.error.InvalidDataError, av.error.EOFError):
        if path.suffix != ".ts" or path.stat().st_size > EMPTY:
            raise
        return None


def verdict(told: dict[str, Any]) -> list[str]:
    """What must not have happened, and did."""
    wrong = []
    if told["raw"]:
        wrong.append(f"{told['raw']} raw frames")
    if told["backwards"]:
        wrong.append(f"{told['backwards']} steps back in time")
    if len(told["sizes"]) != 1:
        wrong.append(f"sizes {told['sizes']}")
    if told["counters"].get("faults"):
        wrong.append(f"{told['counters']['faults']} faults of analysis")
    for name, share in told["growth"].items():
        if share is not None and share > GROWTH:
            wrong.append(f"{name} grew by {share:.1%}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        result = main(given.minutes, given.width, given.height, out)
    print(json.dumps(result, indent=1))
    if bad := verdict(result):
        print("; ".join(bad), file=sys.stderr)
        sys.exit(1)
