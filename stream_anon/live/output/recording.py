"""Recordings: one file, or segments that are removed when they are old or too many."""

from __future__ import annotations

import contextlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from stream_anon.errors import OutputError
from stream_anon.live.clock import TICKS
from stream_anon.live.output.targets import FRAGMENTED, Muxed, Target, Template

SEGMENT_SECONDS = 600.0
SUFFIX = ".mp4"
_NAME = re.compile(r"(?P<camera>[a-z0-9-]+)-(?P<time>\d{8}T\d{6}(?:-\d+)?Z)\.mp4")


class Recording(Target):
    """Fragmented MP4, playable up to the last fragment even after a crash.

    A file has a hidden name while it is written, and its own when it is whole.

    Args:
        place: a folder for segments, or a file that ends in ``.mp4`` or ``.mkv``.
        camera: begins the segments' names.
        template: of the stream.
        segment: seconds of a segment.
        keep: seconds that a segment is kept, None for ever.
        keep_bytes: of all segments together, None for any.

    Raises:
        OutputError: it cannot be written to.
    """

    def __init__(
        self,
        place: Path,
        camera: str,
        template: Template,
        segment: float | None = None,
        keep: float | None = None,
        keep_bytes: int | None = None,
    ) -> None:
        self._camera, self._template = camera, template
        self._length = round((segment or SEGMENT_SECONDS) * TICKS)
        self._keep, self._keep_bytes = keep, keep_bytes
        self._whole = place if place.suffix in (".mp4", ".mkv") else None
        self._folder = place.parent if self._whole is not None else place
        self._file: Muxed | None = None
        self._part = self._final = place
        self._begin: int | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._recover()
            if self._whole is None:
                self._remove_old()
        except OSError as error:
            raise OutputError(f"{place}: {(error.strerror or str(error)).lower()}") from error

    def write(self, data: bytes, pts: int, duration: int, key: bool) -> None:
        """See ``Target.write``; a segment begins at a keyframe."""
        full = self._begin is not None and pts - self._begin >= self._length
        if self._file is None or (self._whole is None and full and key):
            self.close()
            self._open()
            self._begin = pts
        if self._file is not None:
            self._file.write(data, pts, duration, key)

    def close(self) -> None:
        """End the file and give it its name."""
        file, self._file = self._file, None
        if file is None:
            return
        file.close()
        try:
            self._part.rename(self._final)
            if self._whole is None:
                self._remove_old()
        except OSError as error:
            raise OutputError(f"{self._final}: {(error.strerror or str(error)).lower()}") from error

    def abandon(self) -> None:
        """Let go; what was written so far is kept if it holds anything."""
        file, self._file = self._file, None
        if file is not None:
            file.abandon()
            with contextlib.suppress(OSError):
                if self._part.is_file() and self._part.stat().st_size > 0:
                    self._part.rename(self._final)
                else:
                    self._part.unlink(missing_ok=True)

    def _open(self) -> None:
        self._final = self._free()
        self._part = self._final.with_name(f".{self._final.name}.part")
        mkv = self._final.suffix == ".mkv"
        own = {"cluster_time_limit": "1000"} if mkv else {"movflags": FRAGMENTED}
        self._file = Muxed(
            str(self._part),
            "matroska" if mkv else "mp4",
            {"flush_packets": "1", **own},
            self._template,
            str(self._final),
        )

    def _free(self) -> Path:
        """A name that is not taken: nothing is ever overwritten."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        for number in range(1000):
            more = f"-{number}" if number else ""
            if self._whole is None:
                path = self._folder / f"{self._camera}-{now}{more}Z{SUFFIX}"
            else:
                path = self._whole.with_stem(self._whole.stem + more)
            if not path.exists():
                return path
        raise OutputError(f"{self._folder}: there are too many recordings of one second")

    def _segments(self) -> list[Path]:
        """This camera's, the oldest first; whatever else lies there is not ours."""
        found = [path for path in self._folder.iterdir() if self._is_ours(path.name)]
        return sorted(found, key=lambda path: path.name)

    def _is_ours(self, name: str) -> bool:
        if self._whole is not None:
            stem, suffix = re.escape(self._whole.stem), re.escape(self._whole.suffix)
            return re.fullmatch(rf"{stem}(-\d+)?{suffix}", name) is not None
        match = _NAME.fullmatch(name)
        return match is not None and match.group("camera") == self._camera

    def _recover(self) -> None:
        """Give names to what a crash left unfinished."""
        for path in self._folder.iterdir():
            final = path.name.removeprefix(".").removesuffix(".part")
            if final == path.name or not self._is_ours(final) or not path.is_file():
                continue
            if not path.stat().st_size:
                path.unlink()
            elif not (self._folder / final).exists():
                path.rename(self._folder / final)

    def _remove_old(self) -> None:
        segments = self._segments()
        if self._keep is not None:
            oldest = time.time() - self._keep
            for path in [path for path in segments if path.stat().st_mtime < oldest]:
                path.unlink(missing_ok=True)
                segments.remove(path)
        if self._keep_bytes is not None:
            sizes = [path.stat().st_size for path in segments]
            while segments and sum(sizes) > self._keep_bytes:
                segments.pop(0).unlink(missing_ok=True)
                sizes.pop(0)
