"""What painting and encoding cost, every frame of a clip, in one process and on any machine.

    python -m tests.live.costs.paint CLIP [--cameras 1] [--frames 250] [--method pixelate]
                                    [--latency low] [--profile] [--opencv-threads 1] [--apart]

``whole`` runs the whole program in real time, so that a busy machine leaves frames out and those
that are left differ more. Here cameras get every frame as soon as they take it and time is the
frames' own, so that processor time can be compared from run to run. ``--profile`` tells the
functions in which the first camera's thread spends it; ``--apart`` runs the network for each camera
by itself.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import threading
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stream_anon.live.clock import TICKS, TIME_BASE
from stream_anon.live.config import parse
from stream_anon.live.latency import BUDGETS
from stream_anon.live.painting import batching
from stream_anon.live.painting.camera import Camera
from stream_anon.live.painting.process import Painter
from stream_anon.live.painting.rehearsal import live_info, rehearse
from stream_anon.live.painting.sink import LiveSink
from stream_anon.media.cpu_frame import CpuFrame, Scaler
from stream_anon.media.pixel_formats import plane_bytes


class Clip:
    """Frames of a clip as they lie in shared memory."""

    def __init__(self, path: Path, frames: int) -> None:
        self.planes: list[list[np.ndarray]] = []
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            self.rate = float(video.average_rate or 25)
            for av_frame in container.decode(video):
                av_frame = av_frame.reformat(format="yuv420p")
                self.width, self.height = av_frame.width // 2 * 2, av_frame.height // 2 * 2
                shapes = self.sizes
                self.planes.append(
                    [
                        plane_bytes(plane)[:h, :w].copy()
                        for plane, (w, h) in zip(av_frame.planes, shapes, strict=True)
                    ]
                )
                if len(self.planes) == frames:
                    break

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        half = self.width // 2, self.height // 2
        return (self.width, self.height), half, half


class Source:
    """Stands where ``RingSource`` stands: the next frame is there at once."""

    torn = left_out = missed = hosted = 0
    decoder = "cpu"
    live = True

    def __init__(self, clip: Clip, begin: int, count: int) -> None:
        self.info, self.over = live_info(), False
        self.form = {"width": clip.width, "height": clip.height, "rate": clip.rate}
        self.now = 0
        self._clip, self._index, self._begin, self._count = clip, 0, begin, count
        self._scaler = Scaler()

    def next(self, timeout: float) -> CpuFrame | None:
        if self._index == self._count:
            self.over = True
            return None
        clip = self._clip
        av_frame = av.VideoFrame(clip.width, clip.height, "yuv420p")
        planes = clip.planes[(self._begin + self._index) % len(clip.planes)]
        for plane, source, (width, _) in zip(av_frame.planes, planes, clip.sizes, strict=True):
            np.copyto(plane_bytes(plane)[:, :width], source)
        av_frame.color_range = 1
        self.now = round(self._index * TICKS / clip.rate) + 1
        frame = CpuFrame(
            av_frame, index=self._index, pts=self.now, time_base=TIME_BASE,
            rate=Fraction(clip.rate).limit_denominator(1001), scaler=self._scaler,
        )  # fmt: skip
        self._index += 1
        return frame

    def close(self) -> None:
        """Nothing is held."""


class _Child:
    status = handle = idle = None


def main(given: argparse.Namespace) -> dict[str, Any]:
    clip = Clip(given.clip, given.frames)
    camera = {"name": "a", "source": "file:///a.mp4", "latency": given.latency}
    chosen = parse(
        {
            "cameras": [camera], "method": {"name": given.method},
            "overload": {"backlog": "10s", "patience": "600s"},
        }
    )  # fmt: skip
    config = chosen.engine(chosen.cameras[0])
    form = {"width": clip.width, "height": clip.height, "rate": clip.rate}
    engine = config.model_dump(mode="json")
    prepared = rehearse({"pipeline": "live", "cameras": [{"engine": engine, "form": form}]})
    cv2.setNumThreads(given.opencv_threads)
    if given.apart:
        batching.LARGEST = 0  # type: ignore[misc]
    painter = Painter(_Child(), prepared)  # type: ignore[arg-type]
    cameras, sources = [], []
    profile = cProfile.Profile(time.thread_time)
    for number in range(given.cameras):
        # Each begins elsewhere in the clip: cameras do not move together.
        source = Source(clip, number * 61, given.frames)
        sink = LiveSink(
            f"c{number}", chosen.encoder, BUDGETS[given.latency].look_back,
            lambda source=source: source.now, lambda jpeg: None,
        )  # fmt: skip
        one = Camera(
            f"c{number}", config, painter._prepared.parts, painter._detector, chosen.overload,
            source, sink, lambda source=source: source.now,
        )  # fmt: skip
        if given.profile and number == 0:
            one._thread = threading.Thread(target=profile.runcall, args=(one._run,))
        cameras.append(one)
        sources.append(source)
    clocks = os.times()
    before = clocks.user + clocks.system
    for one in cameras:
        one.start()
    for one in cameras:
        one.join(3600.0)
    clocks = os.times()
    spent = clocks.user + clocks.system - before
    frames = given.cameras * given.frames
    total = Counter[str]()
    for one in cameras:
        state = one.state()
        for name in ("frames_in", "frames_out", "slates", "painted", "faults", "bytes"):
            total[name] += state[name]
    if given.profile:
        stats = pstats.Stats(profile)
        stats.sort_stats("tottime").print_stats(45)
        stats.sort_stats("cumulative").print_stats(60)
    together = next(iter(prepared.detectors.values())).run  # type: ignore[attr-defined]
    return {
        "clip": given.clip.name, "cameras": given.cameras, "frames": frames,
        "opencv_threads": given.opencv_threads, "apart": given.apart,
        "requests": together.requests, "runs": together.runs,
        "method": given.method, "latency": given.latency,
        "milliseconds_a_frame": round(spent / frames * 1000, 2), "counters": dict(total),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--method", default="pixelate")
    parser.add_argument("--latency", default="low")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--opencv-threads", type=int, default=1)
    parser.add_argument("--apart", action="store_true")
    print(json.dumps(main(parser.parse_args())))
