"""From what stands on the command line to pairs of one input and one output."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stream_anon.errors import InputError, OutputError, StreamAnonError, UsageError

SUFFIX = "_anonymized"

UNVERIFIED = ".unverified"
"""Ends the stem of a result that was kept aside: never an input by itself."""

EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".divx"}
    | {".flv", ".wmv", ".asf", ".ogv", ".ogm", ".gif", ".mxf", ".nut", ".dv", ".rm", ".rmvb"}
    | {".ts", ".m2ts", ".mts", ".m2t", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob"}
    | {".mjpeg", ".mjpg", ".y4m", ".ivf", ".obu", ".wtv"}
    | {".h264", ".264", ".h265", ".265", ".hevc"}
    | {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif"}
)
"""Names that say "video" or "photo". In a folder, such a file is done, or the run says why not; any
other file is looked into. A file that is named by itself may end in anything."""

_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part(\.[^.]+)?")
"""What a run that was killed leaves; see ``media.part_file``."""

Probe = Callable[[Path], str]
"""What the result's name ends in; raises ``StreamAnonError`` where a file holds no video."""


@dataclass(frozen=True, slots=True)
class Job:
    """One video and where its result goes."""

    source: Path
    target: Path
    report: Path | None = None
    overwrite: bool = False
    """What exists under the target's and report's names may go."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was asked for, or found, and cannot be done.

    Attributes:
        source: what.
        error: why, with the name in it.
    """

    source: Path
    error: StreamAnonError


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be done, and what cannot be.

    Attributes:
        jobs: in the order of the command line.
        refused: in the order in which they were met.
        earlier: results of an earlier run that lie beside their originals; they are left alone.
    """

    jobs: tuple[Job, ...]
    refused: tuple[Refused, ...] = ()
    earlier: tuple[Path, ...] = ()


def jobs(
    inputs: Sequence[Path],
    output: str | Path | None = None,
    report: str | Path | None = None,
    probe: Probe = lambda source: source.suffix,
) -> Found:
    """Expand files and folders.

    Args:
        inputs: files, and folders that are searched for videos at any depth.
        output: a file for a single input file, else a folder (as is what ends in a slash);
            None puts each result beside its input as ``NAME_anonymized.EXT``.
        report: likewise.
        probe: what the name of a video's result ends in, where the caller did not name it. It
            also tells a video from another file where the name does not.

    Raises:
        InputError: of all that was asked for, nothing is there.
        UsageError: the output cannot be what it is, is also an input, or is meant twice.
    """
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    piped = [str(p) for p in (*inputs, Path(output or ".")) if str(p).startswith("-")]
    if piped and not single:
        raise UsageError(f"{piped[0]}: a pipe holds one video")
    if piped and output is None:
        raise UsageError("-: what is piped in needs a name for the result, or - for a pipe")
    into = output is not None and (not single or _is_folder(output))
    reports = report is not None and (not single or _is_folder(report))
    output = Path(output) if output is not None else None
    report = Path(report) if report is not None else None
    if output is not None and into and _is_file_name(output):
        raise UsageError(f"{output}: several inputs need a folder as output, this is a file name")
    if report is not None and reports and report.is_file():
        raise UsageError(f"{report}: several inputs need a folder for their reports")
    search = _Search(output, probe)
    for given in inputs:
        search.add(given)
    earlier = _earlier(search.found, set(inputs))
    made: list[Job] = []
    taken: set[str] = set()
    for source, relative in search.found.items():
        if source in earlier:
            continue
        target = output
        if target is None or into:
            target = _target(source, relative, output, search.suffix(source), taken)
        taken.add(os.path.realpath(target))
        where = report
        if report is not None and reports:
            where = report / relative.with_name(f"{relative.name}.report.json")
        made.append(Job(source, target, where))
    _check(made)
    if not made and search.refused:
        if len(search.refused) == 1:
            raise search.refused[0].error
        lines = "; ".join(str(refused.error) for refused in search.refused)
        raise InputError(f"nothing can be done: {lines}")
    return Found(tuple(made), tuple(search.refused), tuple(earlier))


def settle(planned: Sequence[Job], existing: Callable[[Path], bool]) -> tuple[list[Job], list[Job]]:
    """Split into what is to be done and what is skipped since its output exists.

    Args:
        planned: all of it.
        existing: called for each output and report that exists; True replaces it.
    """
    todo: list[Job] = []
    skipped: list[Job] = []
    for job in planned:
        there = os.path.lexists(job.target)
        earlier = job.report is not None and os.path.lexists(job.report)
        wanted = not there or existing(job.target)
        if wanted and job.report is not None and earlier:
            wanted = existing(job.report)
            if not wanted and not there:
                raise UsageError(f"{job.report}: exists, without its result; -y replaces it")
        if wanted:
            # What comes meanwhile is nobody's to replace.
            todo.append(replace(job, overwrite=there or earlier))
        else:
            skipped.append(job)
    return todo, skipped


class _Search:
    """Looks for videos, and keeps account of what is none of them though it should be.

    Args:
        output: folder or file of the results; what lies below it is no input.
        probe: as of ``jobs``.
    """

    def __init__(self, output: Path | None, probe: Probe) -> None:
        self.found: dict[Path, Path] = {}
        """Each video, with its path relative to the folder that was named."""
        self.refused: list[Refused] = []
        self._output = None if output is None else os.path.realpath(output)
        self._probe = probe
        self._suffixes: dict[Path, str] = {}

    def add(self, given: Path) -> None:
        """Take a file or folder of the command line; a pipe as it is."""
        if str(given) == "-":
            self.found[given] = given
            return
        try:
            status = given.stat()
        except FileNotFoundError:
            broken = os.path.islink(given)
            words = "is a link to nothing" if broken else "there is no such file"
            self._refuse(given, words)
            return
        except OSError as error:
            self._refuse(given, (error.strerror or str(error)).lower())
            return
        if stat.S_ISDIR(status.st_mode):
            before = len(self.found) + len(self.refused)
            for path in self._files(given):
                self._consider(path, path.relative_to(given))
            if len(self.found) + len(self.refused) == before:
                self._refuse(given, "there is no video or photo in this folder")
        elif not stat.S_ISREG(status.st_mode):
            self._refuse(given, "is no regular file")
        else:
            self.found.setdefault(given, Path(given.name))

    def suffix(self, source: Path) -> str:
        """What the name of its result ends in."""
        if source not in self._suffixes:
            try:
                self._suffixes[source] = self._probe(source)
            except StreamAnonError:
                # What cannot be read is reported when its turn comes, beside the others.
                self._suffixes[source] = source.suffix
        return self._suffixes[source]

    def _refuse(self, path: Path, words: str) -> None:
        self.refused.append(Refused(path, InputError(f"{path}: {words}")))

    def _files(self, folder: Path) -> Iterator[Path]:
        """Everything below a folder, links followed, each folder once."""
        visited: set[tuple[int, int]] = set()

        def failed(error: OSError) -> None:
            self._refuse(Path(error.filename or folder), (error.strerror or str(error)).lower())

        own = self._output if self._output != os.path.realpath(folder) else None
        for here, folders, files in os.walk(folder, onerror=failed, followlinks=True):
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in visited:
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            folders[:] = sorted(
                name for name in folders if os.path.realpath(os.path.join(here, name)) != own
            )
            yield from (Path(here, name) for name in sorted(files))

    def _consider(self, path: Path, relative: Path) -> None:
        """Take a file of a folder if it is a video, by its name or by what is in it."""
        if _PART.fullmatch(path.name):
            return
        named = path.suffix.lower() in EXTENSIONS
        try:
            status = path.stat()
        except OSError as error:
            if named:
                broken = isinstance(error, FileNotFoundError)
                reason = (error.strerror or str(error)).lower()
                self._refuse(path, "is a link to nothing" if broken else reason)
            return
        if not stat.S_ISREG(status.st_mode):
            if named:
                self._refuse(path, "is no regular file")
            return
        if named and not path.name.startswith("."):
            self.found.setdefault(path, relative)
            return
        try:
            self._suffixes[path] = self._probe(path)
        except StreamAnonError:
            return
        if path.name.startswith("."):
            # Hidden on purpose, perhaps; and shells do not name it either.
            self._refuse(path, "is hidden; name it by itself to have it done")
        else:
            self.found.setdefault(path, relative)


def _target(
    source: Path, relative: Path, output: Path | None, suffix: str, taken: set[str]
) -> Path:
    """Where a result goes; ``a.gif`` that becomes a .mp4 does not take the place of ``a.mp4``'s."""

    def named(stem: str) -> Path:
        if output is None:
            return source.with_name(f"{stem}{SUFFIX}{suffix}")
        return output / relative.with_name(f"{stem}{suffix}")

    plain = named(source.stem)
    changed = suffix.lower() != source.suffix.lower()
    # Whether the other one is there is asked of the disk too, so that the name does not depend
    # on the order in which the two are met.
    other = source.with_suffix(suffix)
    clash = os.path.realpath(plain) in taken or (changed and other.exists())
    return named(source.name) if changed and clash else plain


def _earlier(found: Iterable[Path], named: Collection[Path]) -> list[Path]:
    """Results that lie beside the file they were made of, and whatever did not pass its check,
    unless they were named themselves."""
    originals = {(path.parent, name) for path in found for name in (path.stem, path.name)}
    return [
        path for path in found
        if path not in named
        and (
            path.stem.endswith(UNVERIFIED)
            or (
                path.stem.endswith(SUFFIX)
                and (path.parent, path.stem.removesuffix(SUFFIX)) in originals
            )
        )
    ]


def _check(found: Sequence[Job]) -> None:
    sources = {_identity(job.source): job.source for job in found}
    taken: dict[object, Path] = {}
    for job in found:
        for written in (job.target, job.report):
            if written is None or (written is job.target and str(written).startswith("-")):
                # Standard output is nobody's file.
                continue
            if (source := sources.get(_identity(written))) is not None:
                raise UsageError(f"{written}: is the input {source}; inputs are never written to")
            if (other := taken.setdefault(_identity(written), job.source)) is not job.source:
                raise UsageError(f"{written}: would be written for both {other} and {job.source}")
            if written is job.report and _identity(job.report) == _identity(job.target):
                raise UsageError(f"{written}: is both the output and the report")


def _identity(path: Path) -> object:
    """The same for two names of one file, links included."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return os.path.realpath(path)
    except OSError as error:
        raise OutputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return status.st_dev, status.st_ino


def _is_folder(path: str | Path) -> bool:
    return str(path).endswith("/") or Path(path).is_dir()


def _is_file_name(path: Path) -> bool:
    return not path.is_dir() and (path.exists() or path.suffix.lower() in EXTENSIONS)
