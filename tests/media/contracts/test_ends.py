"""The contracts of sources and sinks, over every one of them.

Whoever adds a source or a sink adds a line to ``SOURCES`` or ``SINKS``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import GateError
from stream_anon.media.device import dali
from stream_anon.media.device.dali import DaliContext
from stream_anon.media.device.kernels import twin_kernels
from stream_anon.media.device.source import DeviceSource
from stream_anon.media.frame import Frame
from stream_anon.media.input.base import Source
from stream_anon.media.input.photo_source import PhotoSource
from stream_anon.media.input.pipe import PipeSource
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.media.output.pipe import PipeSink
from stream_anon.media.output.sink import FileSink, NullSink, Sink
from stream_anon.media.output.streams import plan_streams
from stream_anon.media.packets import Gap, Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.media.clips import make_clip, texture
from tests.media.device.decoding.hardware import StandIn, Surfaces, dali_source, nvdec_source

CONFIG = VideoConfig(encoder_preset="ultrafast")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ends")
    photo = folder / "photo.jpg"
    made = Image.Exif()
    made[0x0112] = 6
    Image.fromarray(texture(0, 96, 64)).save(photo, quality=90, exif=made)
    return {
        "clip": make_clip(folder / "clip.mkv", audio=["aac"], videos=2, count=12),
        "turned": make_clip(folder / "turned.mp4", audio=["aac"], rotation=90, count=12),
        "photo": photo,
        "vp9": make_clip(folder / "vp9.mkv", codec="libvpx-vp9", audio=["libopus"], count=12),
    }


TWIN = twin_kernels()
STANDS = partial(DaliContext, open_=StandIn)

Open = Callable[[dict[str, Path]], Source]

SOURCES: dict[str, Open] = {
    "file": lambda files: FileSource(files["clip"]),
    "turned file": lambda files: FileSource(files["turned"]),
    "cut file": lambda files: FileSource(files["clip"], start=0.1),
    "pipe": lambda files: PipeSource(io.BytesIO(files["clip"].read_bytes())),
    "photo": lambda files: PhotoSource(files["photo"]),
    "file, copied to a device": lambda files: DeviceSource(FileSource(files["clip"]), TWIN),
    "file, by what stands for NVDEC": lambda files: nvdec_source(files["clip"], TWIN),
    "turned, by what stands for NVDEC": lambda files: nvdec_source(files["turned"], TWIN),
    "file, NVDEC that fails": lambda files: nvdec_source(
        files["clip"], TWIN, partial(Surfaces, fails=(5,))
    ),
    "cut, by what stands for NVDEC": lambda files: nvdec_source(files["clip"], TWIN, start=0.1),
    "file, by what stands for DALI": lambda files: dali_source(files["clip"], TWIN, STANDS),
    "cut, by what stands for DALI": lambda files: dali_source(
        files["turned"], TWIN, STANDS, start=0.1
    ),
    "file, by DALI": lambda files: _dali(files["vp9"]),
}


def _dali(path: Path) -> Source:
    if words := dali.missing("cpu"):
        pytest.skip(words)
    return dali_source(path, TWIN)


@pytest.fixture(params=sorted(SOURCES))
def source(request, files):
    with SOURCES[request.param](files) as opened:
        yield opened
    opened.close()


def test_frames_say_what_their_stream_says(source):
    count = 0
    for item in source:
        if not isinstance(item, Frame):
            continue
        count += 1
        stream = source.info.streams[item.stream]
        assert stream.video is not None
        assert item.key.stream == str(stream.index)
        assert (item.width, item.height) == (stream.video.width, stream.video.height)
        assert item.time_base == stream.time_base
        assert item.rate == stream.video.rate
        assert item.quarter_turns == stream.video.quarter_turns
        assert item.device == "cpu"
        assert not item.corrupt
    assert count


def test_keys_grow_without_a_hole_where_nothing_is_live(source):
    last: dict[int, tuple[int, int]] = {}
    for item in source:
        assert source.live or not isinstance(item, Gap)
        if isinstance(item, Frame):
            index, pts = last.get(item.stream, (-1, -(1 << 62)))
            assert item.index == index + 1
            assert item.pts > pts
            last[item.stream] = item.index, item.pts
    assert set(last) == {stream.index for stream in source.info.video}


def test_packets_carry_what_a_sink_needs(source):
    copyable = {s.index for s in source.info.streams if s.kind in ("audio", "subtitle")}
    seen = set()
    for item in source:
        if isinstance(item, Packet):
            seen.add(item.stream)
            assert item.template is source.info.streams[item.stream].template is not None
    assert seen == copyable


def test_what_is_not_selected_does_not_come(source):
    source.select(())
    assert all(isinstance(item, Frame) for item in source)


def test_frames_are_told_alone(source):
    assert all(isinstance(item, Frame) for item in source.frames())


def test_it_tells_what_decoded(source):
    list(source)
    assert set(source.decoded_by) in (set(), {stream.index for stream in source.info.video})


def test_reading_twice_gives_the_same_where_it_can_be_read_twice(source):
    if isinstance(source, PipeSource):
        return
    one, two = ([(f.key, f.corrupt) for f in source.frames()] for _ in range(2))
    assert one == two


def test_it_can_be_closed_before_it_is_read(source):
    next(iter(source))
    source.close()
    source.close()


# Sinks.


def _file(folder: Path, source: Source, config: VideoConfig) -> Sink:
    target = folder / "out.mkv"
    return FileSink(target, plan_streams(source.info, target, config), source.info, config)


def _null(folder: Path, source: Source, config: VideoConfig) -> Sink:
    return NullSink(plan_streams(source.info, folder / "out.mkv", config), source.info, config)


def _pipe(folder: Path, source: Source, config: VideoConfig) -> Sink:
    plan = plan_streams(source.info, Path("-.mkv"), config)
    return PipeSink(io.BytesIO(), plan, source.info, config)


def _photo(folder: Path, source: Source, config: VideoConfig) -> Sink:
    return PhotoSink(folder / "out.jpg", source.info, config)


SINKS: dict[str, tuple[str, Callable[[Path, Source, VideoConfig], Sink]]] = {
    "file": ("turned", _file),
    "null": ("turned", _null),
    "pipe": ("turned", _pipe),
    "photo": ("photo", _photo),
}


@pytest.fixture(params=sorted(SINKS))
def ends(request, files, tmp_path):
    """A source, a sink for what it gives, and the gate."""
    name, make = SINKS[request.param]
    opened = (PhotoSource if name == "photo" else FileSource)(files[name])
    with opened as reader:
        yield reader, make(tmp_path, reader, CONFIG), Compositor(Fill(), FaultConfig())


def test_nothing_but_what_was_cleared_gets_in(ends, tmp_path):
    source, sink, gate = ends
    frame = next(source.frames())
    for thing in (frame, frame.to_av(), None, object()):
        with pytest.raises(GateError, match="not a cleared frame"):
            sink.write(thing)
    cleared = gate.clear(frame, ())
    sink.write(cleared)
    with pytest.raises(GateError):
        sink.write(cleared)
    sink.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_packet_of_a_stream_that_is_not_copied_is_refused(ends):
    _, sink, _ = ends
    with pytest.raises(GateError, match="not copied"):
        sink.copy(Packet(7, None))
    sink.abort()


def test_a_whole_run(ends, tmp_path):
    source, sink, gate = ends
    wrote = 0
    for item in source:
        if isinstance(item, Frame):
            sink.write(gate.clear(item, ()))
            wrote += 1
            if wrote == 1:
                sink.gap(Gap(item.stream, "reconnected"))
        elif isinstance(item, Packet):
            sink.copy(item)
    assert wrote
    assert sink.held >= 0
    sink.drain()
    sink.drain()
    assert sink.held == 0
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    waiting = sink.close()
    assert waiting is None or waiting.is_file()
    sink.publish()
    made = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(made) == (waiting is not None)
    digest = sink.digest()
    if made:
        assert digest is not None
        assert digest[0] == made[0].stat().st_size
    with pytest.raises(GateError):
        sink.write(gate.clear(next(type(source)(source.path).frames()), ()))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("frames", [0, 1])
def test_what_is_given_up_leaves_nothing(ends, tmp_path, hard, frames):
    source, sink, gate = ends
    for _, frame in zip(range(frames), source.frames(), strict=False):
        sink.write(gate.clear(frame, ()))
    sink.abort(hard)
    sink.abort(hard)
    assert list(tmp_path.iterdir()) == []
