"""Photos: the source and the sink as such."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import GateError, InputError, OutputError, UsageError
from stream_anon.media.input.files import describe_file
from stream_anon.media.input.photo_source import PhotoSource
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.media.photos.tools import (
    HEIGHT,
    WIDTH,
    deep,
    outside,
    picture,
    redact,
    samples,
    save,
    save_deep,
)

ALPHA = np.dstack([picture(), picture()[..., :1]])


def test_it_can_be_read_twice_and_tells_its_hash(tmp_path):
    import hashlib

    path = save(tmp_path / "a.png")
    with PhotoSource(path) as source:
        source.start_digest()
        (one,) = source
        one.blacken()
        (two,) = source
        assert two.luma(1).std() > 10, "read anew"
        assert source.digest() == (
            path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        )  # fmt: skip
        assert not source.live
        path.write_bytes(b"other")
        with pytest.raises(InputError, match="changed while it was read"):
            list(source)


def test_only_one_cleared_frame_gets_in_and_the_file_is_whole_or_not_there(tmp_path):
    path = save(tmp_path / "a.png")
    gate, out = Compositor(Fill(), FaultConfig()), tmp_path / "out.png"
    with PhotoSource(path) as source:
        info = source.info
        first, second = next(iter(source)), next(iter(source))
    sink = PhotoSink(out, info, VideoConfig())
    with pytest.raises(GateError, match="not a cleared frame"):
        sink.write(first)
    sink.write(gate.clear(first, ()))
    with pytest.raises(GateError, match="has one frame"):
        sink.write(gate.clear(second, ()))
    assert not out.exists()
    sink.abort()
    sink.abort()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]
    empty = PhotoSink(out, info, VideoConfig())
    with pytest.raises(GateError, match="no frame came"):
        empty.finish()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]
    with pytest.raises(UsageError, match="is the input itself"):
        PhotoSink(path, info, VideoConfig())


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    from pathlib import Path

    path = save(tmp_path / "a.png")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left"):
        redact(path, tmp_path / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]


@pytest.mark.parametrize(
    ("array", "name", "words"),
    [
        (ALPHA, "out.jpg", "JPEG holds no opacity"),
        (deep(3), "out.jpg", "JPEG holds 8 bits"),
        (deep(3), "out.webp", "WEBP holds 8 bits"),
        (picture(), "out.mp4", "a photo is written to one of"),
        (picture(), "out", "a photo is written to one of"),
    ],
)
def test_names_that_ask_for_what_cannot_hold_it(tmp_path, array, name, words):
    path = tmp_path / "a.png"
    save_deep(path, array) if array.dtype == np.uint16 else save(path, array)
    with pytest.raises(UsageError, match=words):
        plan_streams(describe_file(path), tmp_path / name, VideoConfig())


@pytest.mark.parametrize("into", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_one_kind_becomes_another(tmp_path, suffix, into):
    path = save(tmp_path / f"a{suffix}", quality=95)
    redact(path, tmp_path / f"out{into}")
    before, after = (samples(tmp_path / f"{n}").astype(int) for n in (path.name, f"out{into}"))
    assert np.abs(before - after)[outside(before.shape)].mean() < 6


def test_a_name_that_lies_is_taken_by_what_is_in_it(tmp_path):
    from stream_anon.media.output.formats import default_suffix

    save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert default_suffix(describe_file(tmp_path / "a.jpg")) == (".png", "the file holds PNG")


def test_pillow_and_ffmpeg_agree_on_what_is_written(tmp_path):
    path = save(tmp_path / "a.jpg", quality=90)
    redact(path, tmp_path / "out.jpg")
    context = av.CodecContext.create("mjpeg", "r")
    data = (tmp_path / "out.jpg").read_bytes()
    (frame,) = context.decode(av.Packet(data)) or context.decode(None)
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert io.BytesIO(data).read(2) == b"\xff\xd8"


def test_a_photo_that_was_replaced_is_described_anew(tmp_path):
    path = save(tmp_path / "a.png")
    assert describe_file(path).video[0].video.width == WIDTH
    save(path, picture(90, 60))
    assert describe_file(path).video[0].video.width == 90


@pytest.mark.parametrize("bits", [8, 16])
def test_how_colours_are_shown_stays(tmp_path, bits):
    import struct
    import zlib

    plain = save(tmp_path / "p.png") if bits == 8 else save_deep(tmp_path / "p.png", deep(3))
    data = plain.read_bytes()
    chunks = b""
    for name, content in ((b"gAMA", struct.pack(">I", 100000)), (b"cICP", bytes([9, 16, 0, 1]))):
        check = struct.pack(">I", zlib.crc32(name + content))
        chunks += struct.pack(">I", len(content)) + name + content + check
    secret = b"tEXtComment\0SecretWords"
    secret = struct.pack(">I", len(secret) - 4) + secret + struct.pack(">I", zlib.crc32(secret))
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + chunks + secret + data[33:])
    redact(path, tmp_path / "out.png")
    raw = (tmp_path / "out.png").read_bytes()
    assert chunks in raw
    assert b"SecretWords" not in raw
    with Image.open(tmp_path / "out.png") as made:
        made.load()
        assert made.info["gamma"] == 1.0
