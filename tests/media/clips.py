"""Tiny clips with one property each, made by PyAV alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FAST = {"preset": "ultrafast", "crf": "20"}
QUIET = {"x265-params": "log-level=none"}


def texture(index: int, width: int, height: int, speed: float = 2.0) -> np.ndarray:
    """(height, width, 3) uint8 RGB: smooth waves that move right by ``speed`` pixels a frame."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x - speed * index
    waves = (
        128 + 60 * np.sin(x / 5.0) + 50 * np.sin(y / 7.0),
        128 + 70 * np.sin((x + y) / 9.0),
        128 + 90 * np.cos((x - 2 * y) / 11.0),
    )
    return np.clip(np.stack(waves, -1), 0, 255).astype(np.uint8)


def av_frame(
    index: int, width: int, height: int, pix_fmt: str, speed: float = 2.0
) -> av.VideoFrame:
    """The texture as a frame in a pixel format."""
    rgb = av.VideoFrame.from_ndarray(texture(index, width, height, speed), format="rgb24")
    return rgb.reformat(format=pix_fmt)


def noise_frame(width: int, height: int, pix_fmt: str, seed: int = 0) -> av.VideoFrame:
    """A frame with independent random samples in every plane, within 8-bit legal range."""
    rng = np.random.default_rng(seed)
    out = av.VideoFrame(width, height, pix_fmt)
    depth = max(c.bits for c in out.format.components)
    for plane in out.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        if depth == 8:
            rows[:] = rng.integers(30, 220, rows.shape)
        else:
            wide = rows.view("<u2")
            wide[:] = rng.integers(30 << (depth - 8), 220 << (depth - 8), wide.shape)
    return out


def make_clip(
    path: Path,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    count: int = 20,
    rate: Fraction | int = 25,
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio: Sequence[str] = (),
    languages: Sequence[str] = (),
    subtitles: str | None = None,
    videos: int = 1,
    chapters: Sequence[tuple[float, float, str]] = (),
    metadata: dict[str, str] | None = None,
    stream_metadata: dict[str, str] | None = None,
    rotation: int | None = None,
    sample_aspect: Fraction | None = None,
    colour: tuple[int, int, int, int] | None = None,
    interlaced: bool = False,
    cover: bool = False,
    data: bool = False,
    speed: float = 2.0,
    format: str | None = None,
) -> Path:
    """Write a clip; every argument adds one property."""
    rate = Fraction(rate)
    base = time_base or 1 / rate
    if options is None:
        options = FAST if codec in ("libx264", "libx265") else {}
    if codec == "libx265":
        options = {**options, **QUIET}
    with av.open(
        str(path), "w", format=format, container_options=container_options or {}
    ) as container:
        container.metadata.update(metadata or {})
        streams = []
        for _ in range(videos):
            stream = container.add_stream(
                codec,
                rate=rate,
                options=dict(options),
                width=size[0],
                height=size[1],
                time_base=base,
                pix_fmt=pix_fmt,
            )
            context = stream.codec_context
            if colour is not None:
                context.color_primaries, context.color_trc = colour[:2]
                context.colorspace, context.color_range = colour[2:]
            if sample_aspect is not None:
                context.sample_aspect_ratio = sample_aspect
            if rotation is not None:
                stream.set_display_rotation(rotation)
            if interlaced:
                context.flags |= 1 << 18
                context.field_order = 2
            stream.metadata.update(stream_metadata or {})
            streams.append(stream)
        sounds = [_sound(container, name) for name in audio]
        for stream, language in zip([*streams, *sounds], languages, strict=False):
            stream.metadata["language"] = language
        texts = _subtitle_stream(container, subtitles) if subtitles else None
        extra = container.add_data_stream("klv") if data else None
        frame = _cover_stream(container) if cover else None
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": n + 1,
                        "start": round(a * 1000),
                        "end": round(b * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for n, (a, b, title) in enumerate(chapters)
                ]
            )
        if frame is not None:
            container.mux(_cover_packet(frame))
        for index in range(count):
            for stream in streams:
                image = av_frame(index, *size, pix_fmt, speed)
                image.pts = index if pts is None else pts[index]
                if pts is None and time_base is not None:
                    image.pts = round(index / rate / base)
                image.time_base = base
                container.mux(stream.encode(image))
        for stream in streams:
            container.mux(stream.encode(None))
        start = Fraction(0) if pts is None else pts[0] * base
        for stream in sounds:
            _write_sound(container, stream, count / rate, start)
        if texts is not None:
            _write_subtitles(container, texts, subtitles or "", start)
        if extra is not None:
            packet = av.Packet(b"\x06\x0e+4klv of a place")
            packet.pts = packet.dts = 0
            packet.time_base = Fraction(1, 90000)
            packet.stream = extra
            container.mux(packet)
    return path


def _sound(container: Any, name: str) -> Any:
    stream = container.add_stream(name, rate=48000)
    stream.codec_context.layout = "mono"
    return stream


def _write_sound(container: Any, stream: Any, seconds: Fraction, start: Fraction) -> None:
    layout, name = stream.codec_context.layout.name, stream.codec_context.format.name
    size = stream.codec_context.frame_size or 1024
    offset = round(start * 48000)
    for n in range(int(seconds * 48000 / size)):
        t = (np.arange(size) + n * size) / 48000
        wave = 0.3 * np.sin(2 * np.pi * (300 + 40 * stream.index) * t)
        if "flt" in name:
            samples = wave.astype(np.float32)[None]
        else:
            bits = 32 if "32" in name else 16
            samples = (wave * (1 << (bits - 2))).astype(f"i{bits // 8}")[None]
        sound = av.AudioFrame.from_ndarray(samples, format=name, layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = 48000, n * size + offset, Fraction(1, 48000)
        container.mux(stream.encode(sound))
    container.mux(stream.encode(None))


def _subtitle_stream(container: Any, name: str) -> Any:
    stream = container.add_mux_stream(name)
    stream.time_base = Fraction(1, 1000)
    return stream


def _write_subtitles(container: Any, stream: Any, name: str, start: Fraction) -> None:
    for n, text in enumerate(("Good morning.", "She left.", "Who was it?")):
        data = text.encode()
        if name == "mov_text":
            data = len(data).to_bytes(2, "big") + data
        packet = av.Packet(data)
        packet.pts = packet.dts = round(start * 1000) + 100 + 200 * n
        packet.duration = 150
        packet.time_base = Fraction(1, 1000)
        packet.stream = stream
        container.mux(packet)


def _cover_stream(container: Any) -> Any:
    stream = container.add_stream("mjpeg", rate=1, width=32, height=32, pix_fmt="yuvj420p")
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _cover_packet(stream: Any) -> list[Any]:
    image = av_frame(0, 32, 32, "yuvj420p")
    image.pts, image.time_base = 0, Fraction(1)
    return [*stream.encode(image), *stream.encode(None)]
