"""Where a photo goes: one cleared frame, into a file of its kind."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stream_anon.config import VideoConfig
from stream_anon.errors import GateError, OutputError
from stream_anon.media.cleared import Cleared
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.output.formats import check_photo_target
from stream_anon.media.output.sink import Sink, check_target
from stream_anon.media.packets import Packet
from stream_anon.media.part_file import PartFile
from stream_anon.media.photo import ORIENTATION, SUFFIXES, PhotoTemplate, Samples
from stream_anon.media.pixel_formats import Layout, layout_of, plane_view

_QUALITY = 95
"""Of a JPEG that was none before, and of a WebP that loses something."""


class PhotoSink(Sink):
    """Writes a hidden file beside the target and renames it when it is whole.

    Args:
        path: the target; replaced if it exists.
        info: of the input.
        options: whether metadata is kept.
        replace: a file of that name may go; else one that comes meanwhile is a fault.

    Raises:
        UsageError: the target is the input, or of a kind that cannot hold the photo.
        OutputError: the target cannot be written.
    """

    def __init__(
        self, path: str | Path, info: MediaInfo, options: VideoConfig, replace: bool = True
    ) -> None:
        self.path = Path(path)
        check_photo_target(self.path, info)
        if info.photo is None:
            raise GateError(f"{self.path}: the input is no photo")
        self._template = info.photo
        self._kind = SUFFIXES[self.path.suffix.lower()]
        self._keep, self._replace = options.keep_metadata, replace
        self._data: bytes | None = None
        self._closed = self._done = False
        target = Path(os.path.realpath(self.path))
        check_target(target, self.path, info.path)
        self._part = PartFile(target, like=info.path)

    def write(self, cleared: Cleared) -> None:
        """Encode the frame; see ``Sink.write``."""
        if type(cleared) is not Cleared:
            raise GateError(f"a {type(cleared).__name__} is not a cleared frame")
        if self._done or self._closed or self._data is not None:
            raise GateError("a photo has one frame")
        frame = cleared.take()
        try:
            self._data = encode(frame.to_av(), self._template, self._kind, self._keep)
        except (OSError, ValueError, KeyError, struct.error, cv2.error) as error:
            words = " ".join(str(error).split())
            raise OutputError(f"{self.path}: cannot be written ({words})") from error

    def copy(self, item: Packet) -> None:
        """A photo copies nothing; see ``Sink.copy``."""
        raise GateError(f"a packet of stream {item.stream}, which is not copied")

    def close(self) -> Path:
        """Write the file; it keeps its hidden name. See ``Sink.close``."""
        if self._done or self._closed:
            raise GateError("the file was already finished or given up")
        if self._data is None:
            self.abort()
            raise GateError(f"{self.path}: no frame came")
        try:
            self._part.path.write_bytes(self._data)
        except OSError as error:
            self.abort()
            raise self._failed(error) from error
        self._closed, self._data = True, None
        return self._part.path

    def publish(self, path: Path | None = None) -> None:
        """Put the closed file in its place; see ``Sink.publish``."""
        if self._done or not self._closed:
            raise GateError("the file is not closed, or was finished or given up")
        try:
            if path is None:
                self._part.commit(self._replace)
            else:
                self._part.commit(replace=False, target=path)
        except OSError as error:
            self.abort()
            raise self._failed(error) from error
        self._done = True

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the finished file."""
        return None if self._part.sha256 is None else (self._part.bytes, self._part.sha256)

    def finish(self) -> None:
        """Write the file, and put it in its place; see ``Sink.finish``."""
        self.close()
        self.publish()

    def abort(self, hard: bool = False) -> None:
        """Remove what was written; see ``Sink.abort``."""
        if not self._done:
            self._done, self._data = True, None
            self._part.discard()

    def _failed(self, error: OSError) -> OutputError:
        words = (error.strerror or str(error)).lower()
        return OutputError(f"{self.path}: cannot be written ({words})")


def encode(av_frame: Any, template: PhotoTemplate, kind: str, keep_metadata: bool) -> bytes:
    """A photo as a file.

    Args:
        av_frame: ``av.VideoFrame`` in a pixel format that is patched in place.
        template: of the photo that it was.
        kind: what is written: one of ``photo.SUFFIXES``' values.
        keep_metadata: EXIF goes along, without its thumbnail.

    Raises:
        ValueError, OSError, KeyError: it cannot be encoded.
    """
    layout = layout_of(av_frame.format.name)
    planes = [plane_view(av_frame, layout, n) for n in range(len(av_frame.planes))]
    exif = _exif(template, keep_metadata)
    if layout.depth > 8:
        return _deep(planes, template, kind, exif)
    out = io.BytesIO()
    options: dict[str, Any] = {"exif": exif} if exif else {}
    if template.icc:
        options["icc_profile"] = template.icc
    if template.dpi:
        options["dpi"] = template.dpi
    if kind == "JPEG":
        options |= {"progressive": template.progressive, "optimize": True}
        if template.tables:
            options["qtables"] = template.tables
        else:
            options["quality"] = _QUALITY
        options["subsampling"] = _SUBSAMPLING.get((layout.sub_x, layout.sub_y), 0)
    elif kind == "WEBP":
        lossless = template.lossless
        options |= {"lossless": lossless, "exact": True, "quality": 80 if lossless else _QUALITY}
    elif kind == "TIFF":
        options["compression"] = template.compression or "tiff_lzw"
    _image(layout, planes, kind).save(out, kind, **options)
    return _with_chunks(out.getvalue(), template.colours) if kind == "PNG" else out.getvalue()


_SUBSAMPLING = {(0, 0): 0, (1, 0): 1, (1, 1): 2}
"""Pillow's numbers; in another a JPEG's colours keep every sample they have."""


def _image(layout: Layout, planes: list[Samples], kind: str) -> Any:
    from PIL import Image

    if not layout.chroma:
        return Image.fromarray(np.ascontiguousarray(planes[0]))
    if layout.rgb:
        green, blue, red, *alpha = planes
        return Image.fromarray(np.stack([red, green, blue, *alpha], axis=2))
    high, wide = planes[0].shape
    whole = [wide + -wide % (1 << layout.sub_x), high + -high % (1 << layout.sub_y)]
    # For a JPEG each sample of colour takes the whole of its block: averaged again, it is what it
    # was. Elsewhere colours run smoothly, as viewers show them.
    way = cv2.INTER_NEAREST if kind == "JPEG" else cv2.INTER_LINEAR
    colours = [cv2.resize(plane, whole, interpolation=way)[:high, :wide] for plane in planes[1:3]]
    bands = [Image.fromarray(np.ascontiguousarray(p)) for p in (planes[0], *colours)]
    merged = Image.merge("YCbCr", bands)
    return merged if kind == "JPEG" else merged.convert("RGB")


def _exif(template: PhotoTemplate, keep_metadata: bool) -> Any:
    """What tells how it is turned, and the rest if it is kept; None if there is nothing to say."""
    from PIL import Image

    exif = Image.Exif()
    if keep_metadata and template.exif:
        exif.load(template.exif)
    if template.orientation != 1:
        exif[ORIENTATION] = template.orientation
    return exif if len(exif) else None


def _deep(planes: list[Samples], template: PhotoTemplate, kind: str, exif: Any) -> bytes:
    """Samples of 16 bits."""
    if len(planes) == 1:
        array = np.ascontiguousarray(planes[0])
    else:
        green, blue, red, *alpha = planes
        array = np.stack([blue, green, red, *alpha], axis=2)
    done, made = cv2.imencode(".png" if kind == "PNG" else ".tiff", array)
    if not done:
        raise ValueError("the encoder refused it")
    data = bytes(made)
    if kind != "PNG":
        return data
    chunks = b""
    if template.icc:
        chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(template.icc))
    if template.dpi:
        across, down = (round(value / 0.0254) for value in template.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if exif:
        chunks += _chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    return _with_chunks(data, template.colours + chunks)


def _with_chunks(data: bytes, chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header, which is 25 bytes after the signature's 8."""
    return data[:33] + chunks + data[33:]


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check
