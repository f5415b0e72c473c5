"""From what stands on the command line to pairs of one input and one output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_anon.errors import InputError, UsageError

SUFFIX = "_anonymized"

UNVERIFIED = ".unverified"
"""Ends the stem of a result that was kept aside: never an input by itself."""

EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".ogv", ".gif"}
    | {".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".mjpeg", ".mjpg", ".y4m"}
    | {".h264", ".264", ".h265", ".265", ".hevc"}
)
"""What is looked for in a folder. A file that is named by itself may end in anything."""


@dataclass(frozen=True, slots=True)
class Job:
    """One video and where its result goes."""

    source: Path
    target: Path
    report: Path | None = None


def jobs(
    inputs: Sequence[Path],
    output: str | Path | None = None,
    report: str | Path | None = None,
    suffix_of: Callable[[Path], str] = lambda source: source.suffix,
) -> list[Job]:
    """Expand files and folders.

    Args:
        inputs: files, and folders that are searched for videos at any depth.
        output: a file for a single input file, else a folder (as is what ends in a slash);
            None puts each result beside its input as ``NAME_anonymized.EXT``.
        report: likewise.
        suffix_of: what the name of a video's result ends in, where the caller did not name it.

    Raises:
        InputError: a file or folder is not there, or a folder holds no video.
        UsageError: the output cannot be what it is, is also an input, or is meant twice.
    """
    single = len(inputs) == 1 and not inputs[0].is_dir()
    into = output is not None and (not single or _is_folder(output))
    reports = report is not None and (not single or _is_folder(report))
    output = Path(output) if output is not None else None
    report = Path(report) if report is not None else None
    if output is not None and into and _is_file_name(output):
        raise UsageError(f"{output}: several inputs need a folder as output, this is a file name")
    if report is not None and reports and report.is_file():
        raise UsageError(f"{report}: several inputs need a folder for their reports")
    found: list[Job] = []
    for source, relative in _sources(inputs, output):
        if output is None:
            target = source.with_name(f"{source.stem}{SUFFIX}{suffix_of(source)}")
        elif into:
            target = output / relative.with_suffix(suffix_of(source))
        else:
            target = output
        where = report
        if report is not None and reports:
            where = report / relative.with_name(f"{relative.name}.report.json")
        found.append(Job(source, target, where))
    _check(found)
    return found


def settle(planned: Sequence[Job], existing: Callable[[Path], bool]) -> tuple[list[Job], list[Job]]:
    """Split into what is to be done and what is skipped since its output exists.

    Args:
        planned: all of it.
        existing: called for each output that exists; True replaces it.
    """
    todo: list[Job] = []
    skipped: list[Job] = []
    for job in planned:
        wanted = not job.target.exists() or existing(job.target)
        (todo if wanted else skipped).append(job)
    return todo, skipped


def _sources(inputs: Sequence[Path], output: Path | None) -> list[tuple[Path, Path]]:
    """Every video with its path relative to the folder it was found in."""
    found: dict[Path, Path] = {}
    for given in inputs:
        if given.is_dir():
            inside = [(path, path.relative_to(given)) for path in _videos(given, output)]
            if not inside:
                raise InputError(f"{given}: there is no video in this folder")
        elif given.exists():
            inside = [(given, Path(given.name))]
        else:
            raise InputError(f"{given}: there is no such file")
        for path, relative in inside:
            found.setdefault(path, relative)
    return list(found.items())


def _videos(folder: Path, output: Path | None) -> list[Path]:
    """Videos under a folder, without results of an earlier run."""
    own = output.resolve() if output is not None else None
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in EXTENSIONS or not path.is_file():
            continue
        if path.name.startswith(".") or path.stem.endswith(UNVERIFIED):
            continue
        if own is not None and own != folder.resolve() and own in path.resolve().parents:
            continue
        original = path.with_name(path.stem.removesuffix(SUFFIX) + path.suffix)
        if path.stem.endswith(SUFFIX) and original.exists():
            continue
        found.append(path)
    return found


def _check(found: Sequence[Job]) -> None:
    sources = {_identity(job.source): job.source for job in found}
    taken: dict[object, Path] = {}
    for job in found:
        for written in (job.target, job.report):
            if written is None:
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
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


def _is_folder(path: str | Path) -> bool:
    return str(path).endswith("/") or Path(path).is_dir()


def _is_file_name(path: Path) -> bool:
    return not path.is_dir() and (path.exists() or path.suffix.lower() in EXTENSIONS)
