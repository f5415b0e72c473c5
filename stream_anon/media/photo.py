"""Photos: single images, read to be painted like a frame of a video, and written as they were.

A JPEG is taken apart into its own planes and put together with its own quantisation tables, so
that what was not painted stays as it was, but for a level here and there. PNG, TIFF and lossless
WebP keep every sample.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError
from stream_anon.media.pixel_formats import LAYOUTS, PHOTO_LAYOUTS, layout_of, plane_view

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Names that photos have, and what is written to a file of that name."""

KINDS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif"}
"""The usual names."""

MOST_PIXELS = 1 << 28
"""A photo of more is no photo, but an attempt to fill the memory."""

ORIENTATION = 0x0112
_ROTATIONS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}
"""Degrees counter-clockwise at which viewers show an image, by its EXIF orientation (CIPA DC-008,
4.6.5); that some are mirrored as well does not turn a face upside down."""

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAKER_NOTE = 0x927C
_STRUCTURE = frozenset(
    {*range(0x00FE, 0x010D), 0x0111, 0x0112, 0x0115, 0x0116, 0x0117, 0x011A, 0x011B, 0x011C}
    | {0x0128, 0x013D, *range(0x0140, 0x0146), 0x0152, 0x0153, 0x015B, *range(0x0200, 0x0215)}
    | {0x8773, _EXIF_IFD, _GPS_IFD, 0xA005}
)
"""Tags about how the samples are stored, and where other tags lie."""
_IDENTIFYING_INFO = ("xmp", "XML:com.adobe.xmp", "photoshop", "comment", "Raw profile type iptc")
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class PhotoTemplate:
    """What is kept of a photo beside its samples.

    Attributes:
        kind: "JPEG", "PNG", "WEBP" or "TIFF".
        orientation: EXIF's number, 1 to 8.
        icc: colour profile, or None.
        exif: EXIF without thumbnail and maker's notes, for those who keep metadata; or None.
        dpi: dots per inch, across and down, or None.
        tables: quantisation tables of a JPEG.
        progressive: of a JPEG.
        lossless: whether every sample was stored as it was.
        compression: of a TIFF, Pillow's name.
        colours: of a PNG, the chunks that say how its samples are shown.
        dropped: names of what is left out, never its values.
        converted: what is not kept as it was, in words.
        keepable: names of what ``exif`` would keep.
    """

    kind: str
    orientation: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    tables: dict[int, list[int]] | None = None
    progressive: bool = False
    lossless: bool = True
    compression: str | None = None
    colours: bytes = b""
    dropped: tuple[str, ...] = ()
    keepable: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise at which viewers show it."""
        return _ROTATIONS[self.orientation]


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photo that was read.

    Attributes:
        samples: ``av.VideoFrame`` in a pixel format that is patched in place.
        template: the rest.
    """

    samples: Any
    template: PhotoTemplate


def kind_of(path: Path) -> str | None:
    """What a file is by its first bytes: one of ``SUFFIXES``' values, or None for no photo.

    Whatever moves is a video.

    Raises:
        InputError: it is a photo of a kind that is not read.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith(b"\xff\xd8\xff"):
            return None if path.suffix.lower() in (".mjpeg", ".mjpg") else "JPEG"
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            file.seek(8)
            return None if _is_animated_png(file) else "PNG"
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            if head[12:16] == b"VP8X" and head[20] & 2:
                raise InputError(f"{path}: animated WebP is not read; convert it to gif or mp4")
            return "WEBP"
        if head[:4] in (b"II*\0", b"MM\0*"):
            return "TIFF"
        if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
            raise InputError(f"{path}: HEIC and AVIF are not read; convert it to jpg or png")
    return None


def read(path: Path, data: bytes) -> Photo:
    """Decode a photo.

    Args:
        path: for messages.
        data: the whole file.

    Raises:
        InputError: it is damaged, too large, or of a form that is not read.
    """
    with _opened(path, data) as image:
        deep = _is_deep(image, data)
        pages = getattr(image, "n_frames", 1)
        if image.format == "TIFF" and pages > 1:
            raise InputError(f"{path}: holds {pages} pages, a photo has one")
        # Before the samples: when they are read, a TIFF is turned and loses its tags.
        exif = image.getexif()
        metadata = _metadata(image, exif)
        converted: list[str] = []
        if deep:
            samples = _deep(path, data, image)
        else:
            samples = _planes(data) if image.format in ("JPEG", "MPO") else None
            if samples is None:
                samples = _from_pillow(path, image, converted)
        return Photo(samples, _template(image, data, samples, metadata, converted))


@contextmanager
def _opened(path: Path, data: bytes) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Its own limit only warns, and tags that it does not know are left out anyway.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "TIFF"))
            with image:
                if image.width * image.height > MOST_PIXELS:
                    raise InputError(f"{path}: {image.width}x{image.height} is too large")
                yield image
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is no photo or is damaged") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: is too large") from error
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, KeyError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is damaged ({words})") from error


def _is_animated_png(file: Any) -> bool:
    """Whether a PNG has a control chunk of an animation before its samples."""
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"acTL", b"IDAT", b"IEND"):
            return bool(name == b"acTL")
        file.seek(length + 4, io.SEEK_CUR)
    return False


def _colour_chunks(data: bytes) -> bytes:
    """A PNG's chunks about colour but for the profile (PNG specification, 11.3.2)."""
    out, at = b"", 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        if name in (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"):
            out += data[at : at + 12 + length]
        at += 12 + length
    return out


def _is_lossless_webp(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name in (b"VP8L", b"VP8 "):
            return bool(name == b"VP8L")
        at += 8 + length + length % 2
    return False


def _is_deep(image: Any, data: bytes) -> bool:
    """Whether samples have 16 bits."""
    if image.format == "PNG":
        return data[24] == 16
    if image.format == "TIFF":
        return bool(max(image.tag_v2.get(258, (8,))) == 16)
    return False


def _planes(data: bytes) -> Any:
    """A JPEG's own planes, or None where it is of a form that only Pillow reads."""
    context = av.CodecContext.create("mjpeg", "r")
    try:
        frames = context.decode(av.Packet(data)) or context.decode(None)
    except av.FFmpegError:
        return None
    if not frames or frames[0].format.name not in {**LAYOUTS, "gbrp": None}:
        return None
    return frames[0]


def _from_pillow(path: Path, image: Any, converted: list[str]) -> Any:
    mode = image.mode
    if mode in ("L", "1"):
        target = "L"
    elif mode in ("RGB", "RGBA"):
        target = mode
    elif mode in ("P", "PA", "LA", "La", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"):
        opaque = mode in ("CMYK", "YCbCr", "LAB", "HSV") or (
            mode == "P" and "transparency" not in image.info
        )
        target = "RGB" if opaque else "RGBA"
    else:
        raise InputError(f"{path}: samples of the form {mode} are not read")
    if target != mode:
        converted.append(f"{_MODES.get(mode, mode)} is written as {target}")
    array = np.asarray(image.convert(target) if target != mode else image)
    if target == "L":
        return frame_of("gray", [array])
    red, green, blue, *alpha = np.moveaxis(array, 2, 0)
    return frame_of("gbrap" if alpha else "gbrp", [green, blue, red, *alpha])


_MODES = {"1": "one bit a sample", "P": "a palette", "LA": "gray with opacity"}


def _deep(path: Path, data: bytes, image: Any) -> Any:
    """Samples of 16 bits, which Pillow rounds in colour."""
    if image.format == "TIFF" and image.getexif().get(ORIENTATION, 1) != 1:
        # OpenCV turns it, or not, by the version.
        raise InputError(f"{path}: a turned TIFF of 16 bits is not read; turn it, or make it a png")
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16 or array.shape[:2] != image.size[::-1]:
        raise InputError(f"{path}: is damaged, or of a form that is not read")
    if array.ndim == 2:
        return frame_of("gray16le", [array])
    if array.shape[2] not in (3, 4):
        raise InputError(f"{path}: {array.shape[2]} samples a pixel are not read")
    blue, green, red, *alpha = np.moveaxis(array, 2, 0)
    return frame_of("gbrap16le" if alpha else "gbrp16le", [green, blue, red, *alpha])


def frame_of(pix_fmt: str, planes: list[Samples]) -> Any:
    """An ``av.VideoFrame`` of samples, (h, w) each, in the order of the format's planes."""
    high, wide = planes[0].shape
    frame = av.VideoFrame(wide, high, pix_fmt)
    layout = layout_of(pix_fmt)
    for index, plane in enumerate(planes):
        plane_view(frame, layout, index)[...] = plane
    return frame


Metadata = tuple[bytes | None, tuple[str, ...], tuple[str, ...]]


def _template(
    image: Any, data: bytes, samples: Any, metadata: Metadata, converted: list[str]
) -> PhotoTemplate:
    kind = "JPEG" if image.format == "MPO" else image.format
    orientation = 1 if kind == "TIFF" else image.getexif().get(ORIENTATION, 1)
    icc = image.info.get("icc_profile")
    if icc and image.mode == "CMYK":
        icc = None
        converted.append("the colour profile of CMYK is left out")
    kept, keepable, dropped = metadata
    depth = (PHOTO_LAYOUTS.get(samples.format.name) or LAYOUTS[samples.format.name]).depth
    if kind == "TIFF" and depth == 16 and icc:
        converted.append("the colour profile of a TIFF of 16 bits is left out")
        icc = None
    tables = getattr(image, "quantization", None) if kind == "JPEG" else None
    dpi = image.info.get("dpi")
    return PhotoTemplate(
        kind=kind,
        orientation=orientation if orientation in _ROTATIONS else 1,
        icc=icc or None,
        exif=kept,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        tables={n: list(table) for n, table in tables.items()} if tables else None,
        progressive=bool(image.info.get("progressive")),
        lossless=kind in ("PNG", "TIFF") or (kind == "WEBP" and _is_lossless_webp(data)),
        compression=image.info.get("compression") if kind == "TIFF" else None,
        colours=_colour_chunks(data) if kind == "PNG" else b"",
        dropped=dropped,
        keepable=keepable,
        converted=tuple(converted),
    )


def _metadata(image: Any, exif: Any) -> Metadata:
    """EXIF that may be kept, what it holds, and the names of what is never kept."""
    from PIL import ExifTags, Image

    keepable: list[str] = []
    dropped: list[str] = []
    kept = Image.Exif()
    own = {tag: value for tag, value in exif.items() if tag not in _STRUCTURE}
    if own:
        keepable.append("EXIF")
    kept.update(own)
    for number, name in ((_EXIF_IFD, "EXIF of the camera"), (_GPS_IFD, "EXIF position (GPS)")):
        part = dict(exif.get_ifd(number))
        if part.pop(_MAKER_NOTE, None) is not None:
            dropped.append("EXIF notes of the maker")
        if part:
            keepable.append(name)
            kept.get_ifd(number).update(part)
    if exif.get_ifd(ExifTags.IFD.IFD1):
        dropped.append("EXIF thumbnail")
    dropped += [name for name in _IDENTIFYING_INFO if image.info.get(name)]
    dropped += [f"text: {name}" for name in getattr(image, "text", {}) if name not in dropped]
    if image.format == "MPO" or getattr(image, "n_frames", 1) > 1:
        dropped.append("further pictures in the file")
    known = {"Exif", "JFIF", "ICC_PROFILE", "Adobe"}
    for segment, content in getattr(image, "applist", ()):
        named = content.split(b"\0")[0][:32].decode("ascii", "replace")
        if segment.startswith("APP") and named not in known:
            dropped.append(f"segment {segment}")
    try:
        data = kept.tobytes() if keepable else None
    except (ValueError, TypeError, struct.error, OSError):
        # Tags that make no sense are not kept.
        data, dropped = None, [*dropped, *keepable]
        keepable = []
    return data, tuple(dict.fromkeys(keepable)), tuple(dict.fromkeys(dropped))
