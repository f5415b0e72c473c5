"""A photo as a source of one frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from stream_anon.errors import InputError
from stream_anon.media import photo
from stream_anon.media.cpu_frame import CpuFrame
from stream_anon.media.frame import Frame
from stream_anon.media.input import mjpeg
from stream_anon.media.input.base import Source
from stream_anon.media.input.identity import Identity
from stream_anon.media.input.info import Colour, MediaInfo, StreamInfo, VideoInfo
from stream_anon.media.input.probe import check_regular

_RATE = Fraction(25)
_CODECS = {"JPEG": "mjpeg", "PNG": "png", "WEBP": "webp", "TIFF": "tiff"}


class PhotoSource(Source):
    """A file that holds one picture.

    Args:
        path: of the file.
        tolerant: a picture whose data are damaged is marked, not refused.

    Raises:
        InputError: it cannot be read, or is no photo.
    """

    def __init__(self, path: str | Path, *, tolerant: bool = False) -> None:
        self.path = Path(path)
        self._tolerant = tolerant
        check_regular(self.path)
        try:
            self._identity = Identity(self.path)
            self._data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: {(error.strerror or str(error)).lower()}") from error
        try:
            self._photo: photo.Photo | None = photo.read(self.path, self._data)
            self.info = _info(self.path, len(self._data), self._photo)
        except BaseException:
            # Raised again: the descriptor that the hash reads from must not stay open.
            self._identity.close()
            raise

    def select(self, copied: Collection[int]) -> None:
        """A photo has nothing that is copied."""

    def start_digest(self) -> None:
        """Begin to hash the file, beside reading it."""
        self._identity.start()

    def digest(self) -> tuple[int, str] | None:
        """Bytes and SHA-256 of the file as it was read; see ``Source.digest``."""
        return self._identity.digest()

    def close(self) -> None:
        """Let go of the file."""
        self._identity.close()

    def __iter__(self) -> Iterator[Frame]:
        """The one frame, anew each time: it is painted in place."""
        read, self._photo = self._photo or photo.read(self.path, self._data), None
        template = read.template
        damaged = template.kind == "JPEG" and mjpeg.is_damaged(self._data)
        if damaged and not self._tolerant:
            raise InputError(f"{self.path}: is damaged, its data break off or are out of step")
        yield CpuFrame(
            read.samples,
            time_base=1 / _RATE,
            rate=_RATE,
            rotation=template.rotation,
            corrupt=damaged,
        )
        self._identity.check()


def _info(path: Path, size: int, read: photo.Photo) -> MediaInfo:
    samples: Any = read.samples
    stream = StreamInfo(
        index=0,
        kind="video",
        codec=_CODECS[read.template.kind],
        time_base=1 / _RATE,
        start=0,
        duration=None,
        frames=1,
        language=None,
        dispositions=(),
        disposition=0,
        video=VideoInfo(
            width=samples.width,
            height=samples.height,
            pix_fmt=samples.format.name,
            coded_pix_fmt=samples.format.name,
            rate=_RATE,
            sample_aspect=None,
            rotation=read.template.rotation,
            matrix=None,
            colour=Colour(matrix=int(samples.colorspace), range=int(samples.color_range)),
            interlaced=False,
            field_order=0,
            first_pts=0,
        ),
    )
    return MediaInfo(
        path=path,
        format=_CODECS[read.template.kind],
        size=size,
        start=0.0,
        duration=None,
        streams=(stream,),
        photo=read.template,
    )
