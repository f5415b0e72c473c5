"""What live cameras cost on this machine, with the real detector and a clip of one's own.

    python -m tests.live.costs.whole CLIP [--cameras 1] [--seconds 20] [--size 1920x1080]
                              [--method pixelate] [--latency low] [--painters auto] [--overload]
                              [--settle 0]

Processor time is what counts, since a machine may have more to do: by role, per frame that came
in, and as a share of one processor at the clip's rate. Latency and frames that were left out are
told beside it; they mean something on an idle machine alone. Without ``--overload`` frames are left
out and nothing else is given up; with it the policy is the usual one.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stream_anon.live.config import parse
from stream_anon.live.latency import BUCKETS
from tests.live.harness import Live


def looped(clip: Path, target: Path, seconds: float) -> float:
    """Play a clip again and again into a file, without encoding it; returns its rate."""
    with av.open(str(clip)) as source, av.open(str(target), "w", format="matroska") as out:
        video = source.streams.video[0]
        rate = float(video.average_rate or 25)
        stream = out.add_stream_from_template(video)
        packets = [p for p in source.demux(video) if p.size]
        step = Fraction(1, 1) / Fraction(rate).limit_denominator(1001) / video.time_base
        length = round(len(packets) * step)
        first = min(p.pts for p in packets if p.pts is not None)
        for turn in range(round(seconds * rate / len(packets)) + 1):
            for packet in packets:
                made = av.Packet(bytes(packet))
                made.time_base, made.stream = video.time_base, stream
                made.is_keyframe = packet.is_keyframe
                made.pts = packet.pts - first + turn * length
                made.dts = (packet.dts if packet.dts is not None else packet.pts)
                made.dts += turn * length - first
                out.mux_one(made)
    return rate


def spent(pid: int | None) -> float:
    """Processor seconds of a process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(counts: list[int], share: float) -> float | None:
    """Upper bound of the bucket that holds a share of all."""
    total, seen = sum(counts), 0
    for most, count in zip((*BUCKETS, float("inf")), counts, strict=True):
        seen += count
        if total and seen >= share * total:
            return most
    return None


def main(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    clip = folder / "clip.mkv"
    rate = looped(given.clip, clip, given.seconds + given.settle + 30)
    cameras = [
        {
            "name": f"camera-{n}", "source": f"file://{clip}", "latency": given.latency,
            "size": given.size, "outputs": [{"record": str(folder / f"{n}.mkv")}],
        }
        for n in range(given.cameras)
    ]  # fmt: skip
    # What every frame costs by the chosen means, however busy the machine is.
    data: dict[str, Any] = {"cameras": cameras, "method": {"name": given.method}}
    data |= {"painters": given.painters} if given.painters else {}
    data |= {} if given.overload else {"overload": {"backlog": "10s"}}
    with Live(parse(data)) as live:
        supervisor, names = live.run.supervisor, [one["name"] for one in cameras]
        for name in names:
            live.more(name, 20)
        # What a start costs is no overload.
        time.sleep(given.settle)
        painters = {supervisor.painters.of(name).pid for name in names}

        def now() -> dict[str, float]:
            found = {"painter": sum(map(spent, painters)), "reader": 0.0, "writer": 0.0}
            for name in names:
                camera = supervisor.cameras[name]
                found["reader"] += spent(camera.reader.pid)
                found["writer"] += spent(camera.outputs[0].process.pid)
            return found

        def frames() -> dict[str, int]:
            read = sum(live.reader(name, "frames") for name in names)
            dropped = sum(live.painter(name, "overload_dropped") for name in names)
            painted = sum(live.painter(name, "frames_in") for name in names) - dropped
            return {"painter": painted, "reader": read, "writer": painted}

        def left_out() -> int:
            return sum(
                live.reader(name, "skipped")
                + live.painter(name, "left_out")
                + live.painter(name, "overload_dropped")
                for name in names
            )

        before, first, began = now(), frames(), time.monotonic()
        skipped = left_out()
        time.sleep(given.seconds)
        after, last, seconds = now(), frames(), time.monotonic() - began
        skipped = left_out() - skipped
        latencies = [live.state(name)["painter"]["latency"] for name in names]
        counts = [sum(bucket) for bucket in zip(*latencies, strict=True)]
        level = max(live.painter(name, "level") for name in names)
    count = last["painter"] - first["painter"]
    each = {
        role: (after[role] - before[role]) / max(1, last[role] - first[role]) * 1000
        for role in after
    }
    return {
        "clip": given.clip.name, "cameras": given.cameras, "method": given.method,
        "latency": given.latency, "painters": len(painters), "size": given.size, "frames": count,
        "frames_wanted": round(seconds * rate * given.cameras), "skipped": skipped,
        "overload_level": level, "milliseconds_a_frame": {k: round(v, 2) for k, v in each.items()},
        "processors_a_camera": round(sum(each.values()) * rate / 1000, 3),
        "latency_p50_at_most": quantile(counts, 0.5), "latency_p95_at_most": quantile(counts, 0.95),
        "load": os.getloadavg()[0],
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--size")
    parser.add_argument("--method", default="pixelate")
    parser.add_argument("--latency", default="low")
    parser.add_argument("--painters", type=int)
    parser.add_argument("--settle", type=float, default=0.0)
    parser.add_argument("--overload", action="store_true")
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(main(parser.parse_args(), Path(temporary)), indent=1))
