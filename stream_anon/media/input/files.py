"""Which source a file needs: that of a photo or that of a video."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from stream_anon.errors import InputError
from stream_anon.media import photo
from stream_anon.media.input.base import Source
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.photo_source import PhotoSource
from stream_anon.media.input.probe import check_regular, probe
from stream_anon.media.input.source import FileSource


def is_photo(path: Path) -> bool:
    """Whether a file is a photo, by what is in it.

    Raises:
        InputError: it cannot be read, or is a photo of a kind that is not read.
    """
    check_regular(path)
    try:
        return photo.kind_of(path) is not None
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def describe_file(path: Path) -> MediaInfo:
    """What a file is; see ``probe``.

    Raises:
        InputError: it cannot be opened, or holds neither a photo nor video.
    """
    if not is_photo(path):
        return probe(path)
    status = path.stat()
    return _photo(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=8)
def _photo(path: Path, stamp: tuple[int, ...]) -> MediaInfo:
    """What a photo is takes decoding it, and a run asks several times; ``stamp`` tells versions."""
    with PhotoSource(path) as source:
        return source.info


def open_file(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    copied: Collection[int] | None = None,
    tolerant: bool = False,
) -> Source:
    """The source for a file.

    Args:
        path: of the file.
        start, end, copied, tolerant: as of ``FileSource``; a photo is always read whole.

    Raises:
        InputError, UsageError: as from ``FileSource``.
    """
    if is_photo(Path(path)):
        return PhotoSource(path, tolerant=tolerant)
    return FileSource(path, start=start, end=end, copied=copied, tolerant=tolerant)
