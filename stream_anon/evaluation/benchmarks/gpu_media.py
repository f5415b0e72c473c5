"""Frames a second on the way onto the card, through a whole run, and off it again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from stream_anon import recipes
from stream_anon.config import Config, override
from stream_anon.errors import InputError, StreamAnonError
from stream_anon.media.cleared import Cleared
from stream_anon.media.device import dali, nvdec
from stream_anon.media.device.choose import Decoder, device_decoders
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import Sink
from stream_anon.media.packets import Packet
from stream_anon.pipeline.plan import make_plan

SECONDS = 5.0
"""A clip is decoded again until so much time has passed."""


class Dropped(Sink):
    """Takes cleared frames and lets go of them: a run without its encoder."""

    def write(self, cleared: Cleared) -> None:
        """See ``Sink.write``."""
        cleared.take()

    def copy(self, item: Packet) -> None:
        """See ``Sink.copy``."""

    def finish(self) -> None:
        """See ``Sink.finish``."""

    def abort(self, hard: bool = False) -> None:
        """See ``Sink.abort``."""


def bare_nvdec(clip: Path, open_: Callable[[Any], Any] = nvdec.open_nvdec) -> int:
    """Decode a clip's first video stream, and nothing else.

    Returns:
        How many frames there were.

    Raises:
        InputError: they did not come from the card.
    """
    frames = on_card = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        context = open_(stream)
        packets: list[Any] = [packet for packet in container.demux(stream) if packet.size]
        for packet in [*packets, None]:
            for frame in context.decode(packet):
                frames += 1
                on_card += frame.format.name not in nvdec.FORMATS
    if on_card < frames or not frames:
        raise InputError(f"{on_card} of {frames} frames came from NVDEC")
    return frames


def through_source(
    clip: Path, kernels: DeviceKernels, decoder: Decoder, backend: str = "mixed",
    open_: Callable[[Any], Any] = nvdec.open_nvdec,
) -> int:  # fmt: skip
    """Decode a clip to frames of our own on the device.

    Returns:
        How many frames there were.

    Raises:
        InputError: somebody else than the decoder that was asked for decoded some of it.
    """
    source = FileSource(clip)
    source.make_decoder = device_decoders(kernels, decoder, backend, open_)
    with source:
        count = sum(1 for _ in source.frames())
        by = next(iter(source.decoded_by.values()))
    if not by.startswith(("NVDEC", "DALI")) or "," in by:
        raise InputError(f"decoded by {by}")
    return count


def whole_run(clip: Path, changes: dict[str, Any], encode: bool) -> tuple[int, str]:
    """One run in this process, with the encoder or without.

    Returns:
        How many frames left, and what decoded and encoded them.
    """
    with tempfile.TemporaryDirectory() as folder:
        usual = {"method.name": "pixelate", "verify.mode": "off", "video.audio": "drop"}
        config = override(Config(), **{**usual, **changes})
        plan = make_plan(clip, Path(folder) / "out.mp4", config)
        made = recipes.pipeline("redact").build(plan)
        if not encode:
            made._sink.abort()
            made._sink = Dropped()
        report = made.run()
    stream = next(part for part in report.streams if part.action == "redact")
    return report.frames.output, f"{stream.decoder}; {stream.encoder or 'no encoder'}"


def rate(count: Callable[[], int], seconds: float = SECONDS) -> float:
    """Frames a second of a call that is made again and again; the first does not count."""
    count()
    frames, began = 0, time.perf_counter()
    while not frames or time.perf_counter() - began < seconds:
        frames += count()
    return frames / (time.perf_counter() - began)


def media_table(
    clip: Path, kernels: DeviceKernels, changes: dict[str, Any], seconds: float = SECONDS,
    backend: str = "mixed", open_: Callable[[Any], Any] = nvdec.open_nvdec,
) -> list[str]:  # fmt: skip
    """Decoding, the run without its encoder and with it, and how they compare.

    Args:
        clip: with faces, 1080p where figures are to be compared.
        kernels: of the device.
        changes: options of the whole runs, such as ``{"device": "cuda"}``.
        seconds: that each row is given, at least.
        backend: of DALI.
        open_: makes a decoder on NVDEC.
    """
    told: list[str] = []

    def whole(encode: bool) -> int:
        frames, by = whole_run(clip, changes, encode)
        told.append(by)
        return frames

    calls: dict[str, Callable[[], int]] = {
        "NVDEC alone": lambda: bare_nvdec(clip, open_),
        "NVDEC, frames of our own": lambda: through_source(
            clip, kernels, "nvdec", backend, open_
        ),
        f"DALI, {dali.WORKERS} groups in flight, frames of our own": lambda: through_source(
            clip, kernels, "dali", backend, open_
        ),
        "whole run without the encoder": lambda: whole(False),
        "whole run with the encoder": lambda: whole(True),
    }
    found: dict[str, float] = {}
    rows = ["| | frames a second |", "|---|---|"]
    for name, call in calls.items():
        with _told(name, rows):
            found[name] = rate(call, seconds)
            rows.append(f"| {name} | {found[name]:.1f} |")
    bare, run = (found.get(name) for name in ("NVDEC alone", "whole run without the encoder"))
    if bare and run:
        rows += ["", f"Without the encoder: {run / bare:.0%} of NVDEC alone."]
    return [*rows, *(f"By {by}." for by in dict.fromkeys(told))]


@contextmanager
def _told(name: str, rows: list[str]) -> Iterator[None]:
    """A row that cannot be measured says why; the others are measured all the same."""
    try:
        yield
    except (StreamAnonError, av.FFmpegError, OSError, RuntimeError, MemoryError) as error:
        rows.append(f"| {name} | not measured: {' '.join(str(error).split())[:160]} |")
