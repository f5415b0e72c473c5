"""The counters in Prometheus' text format, by its own client library; never anything about who."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream_anon.live.latency import BUCKETS
from stream_anon.live.operation.status import Status

PREFIX = "stream_anon_live"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTERS = (
    ("reader", "frames", "frames_read", "Frames decoded."),
    ("reader", "skipped", "frames_skipped", "Frames left out because painting was behind."),
    ("reader", "damaged", "frames_damaged", "Frames that came damaged; they are covered whole."),
    ("reader", "connects", "connects", "Times the camera was opened."),
    ("reader", "failures", "failures", "Times the camera failed or went away."),
    ("reader", "changes", "form_changes", "Times the camera changed size or pixel format."),
    ("painter", "frames_in", "frames_in", "Frames that reached analysis."),
    ("painter", "frames_out", "frames_out", "Frames that were encoded, slates included."),
    ("painter", "painted", "frames_painted", "Frames in which something was painted."),
    ("painter", "slates", "slates", "Frames that show the slate."),
    ("painter", "late", "frames_late", "Cleared frames that came too late to be shown."),
    ("painter", "left_out", "frames_left_out", "Frames that were too old before their turn."),
    ("painter", "overload_dropped", "frames_overload", "Frames left out by the last step."),
    ("painter", "levels", "overload_steps", "Steps of the overload policy, both ways."),
    ("painter", "faults", "faults", "Faults of analysis or painting."),
    ("painter", "gaps", "gaps", "Interruptions."),
    ("painter", "faces_stepped_down", "faces_stepped_down", "Regions not left to the method."),
)
GAUGES = (
    ("painter", "level", "overload_level", "Step of the overload policy, 0 is none."),
    ("painter", "held", "frames_held", "Frames that wait in the tracker."),
    ("painter", "waiting", "encoder_queue", "Cleared frames that wait for the encoder."),
    ("painter", "lateness", "lateness_seconds", "Age of the last frame that reached analysis."),
)
CLOSED = ("pixelated", "black")


class _Live(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        cameras = self._status.snapshot()
        for part, key, name, words in COUNTERS:
            counter = CounterMetricFamily(f"{PREFIX}_{name}", words, labels=["camera"])
            for camera, state in cameras.items():
                counter.add_metric([camera], float(state[part].get(key) or 0))
            yield counter
        for part, key, name, words in GAUGES:
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", words, labels=["camera"])
            for camera, state in cameras.items():
                gauge.add_metric([camera], float(state[part].get(key) or 0))
            yield gauge
        running = GaugeMetricFamily(
            f"{PREFIX}_running", "1 where the camera's frames come out.", labels=["camera"]
        )
        down = CounterMetricFamily(
            f"{PREFIX}_frames_stepped_down", "Frames by the step of the ladder.",
            labels=["camera", "step"],
        )  # fmt: skip
        closed = CounterMetricFamily(
            f"{PREFIX}_failed_closed_seconds",
            "Seconds that showed a slate or were covered whole.", labels=["camera"],
        )  # fmt: skip
        restarts = CounterMetricFamily(
            f"{PREFIX}_restarts", "Times a process was started anew.", labels=["camera", "process"]
        )
        latency = HistogramMetricFamily(
            f"{PREFIX}_latency_seconds", "From a frame's arrival to its encoding.",
            labels=["camera"],
        )  # fmt: skip
        for camera, state in cameras.items():
            running.add_metric([camera], float(state["running"]))
            painter = state["painter"]
            steps: dict[str, int] = painter.get("stepped_down") or {}
            for step, count in steps.items():
                down.add_metric([camera, step], float(count))
            form = painter.get("form") or {}
            covered = (painter.get("slates") or 0) + sum(steps.get(step, 0) for step in CLOSED)
            closed.add_metric([camera], covered / float(form.get("rate") or 25.0))
            restarts.add_metric([camera, "reader"], float(state["restarts"]))
            for output, count in state["output_restarts"].items():
                restarts.add_metric([camera, f"writer {output}"], float(count))
            _histogram(latency, camera, painter)
        restarts.add_metric(["", "painter"], float(self._status.painters[0]))
        yield from (running, down, closed, restarts, latency)
        yield from _outputs(cameras)


def _histogram(family: HistogramMetricFamily, camera: str, painter: dict[str, Any]) -> None:
    counts = painter.get("latency") or [0] * (len(BUCKETS) + 1)
    total, buckets = 0, []
    for most, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((most, total))
    family.add_metric([camera], buckets, painter.get("latency_sum") or 0.0)


def _outputs(cameras: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    for key, words in (
        ("packets", "Packets written."),
        ("bytes", "Bytes written, without containers."),
        ("dropped", "Packets that an output could not take."),
        ("failures", "Times an output failed."),
        ("opens", "Times an output was opened."),
    ):
        family = CounterMetricFamily(
            f"{PREFIX}_output_{key}", words, labels=["camera", "output"]
        )
        for camera, state in cameras.items():
            feeds = state["painter"].get("feeds") or {}
            for output, counters in state["outputs"].items():
                more = (feeds.get(output) or {}).get("dropped", 0) if key == "dropped" else 0
                family.add_metric([camera, output], float((counters.get(key) or 0) + more))
        yield family


class Metrics:
    """The text that a scrape gets.

    Args:
        status: what is counted.
    """

    def __init__(self, status: Status) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Live(status))

    def text(self) -> bytes:
        """In Prometheus' format 0.0.4."""
        return generate_latest(self._registry)
