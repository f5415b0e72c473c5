"""From a request to a plan: what will be done, with what, before anything is opened for writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from stream_anon import device, plugins
from stream_anon.config import Config, override
from stream_anon.errors import InputError, OutputError, UsageError
from stream_anon.media.input.files import describe_file
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.pipe import PIPE, standard_input
from stream_anon.media.input.probe import check_regular
from stream_anon.media.output.formats import default_suffix
from stream_anon.media.output.pipe import pipe_suffix, standard_output
from stream_anon.media.output.streams import MediaPlan, plan_streams
from stream_anon.methods import METHODS, known_methods
from stream_anon.tracks.origin import read_header

SUFFIX = "_anonymized"


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller wants, checked.

    Attributes:
        input: the file to read. Of what is no file (then ``Plan.info`` has no path) its name, as
            messages and the report may tell it: no address, no credentials.
        output: the file to write; likewise.
        config: every option.
        overwrite: an output that exists may be replaced.
        tracks: a Tracks file that says what is in the frames, in the place of a detector.
    """

    input: Path
    output: Path
    config: Config
    overwrite: bool
    tracks: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done.

    Attributes:
        request: as given, with the output's name filled in.
        info: of the input.
        media: what happens to each stream.
        device: where the work is done, and why.
        notes: what else there is to know, in words.
    """

    request: Request
    info: MediaInfo
    media: MediaPlan
    device: device.Choice
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        config = self.request.config
        found = f"detector {config.detector.name}"
        if self.request.tracks is not None:
            found = f"tracks from {self.request.tracks}"
        lines = [
            f"{self.request.input} -> {self.request.output}",
            f"  method {config.method.name}, {found}, "
            f"device {self.device.name} ({self.device.why})",
        ]
        verify = config.verify
        if verify.mode != "off":
            lines.append(f"  verification {verify.mode}, on failure: {verify.on_failure}")
        for stream in self.media.streams:
            became = f" -> {stream.output_codec}" if stream.action == "redact" else ""
            lines.append(
                f"  stream {stream.index} ({stream.kind}, {stream.codec}{became}): "
                f"{stream.action}, {stream.reason}"
            )
        if self.media.dropped:
            lines.append(f"  left out: {', '.join(self.media.dropped)}")
        lines += [f"  note: {note}" for note in (*self.media.notes, *self.notes)]
        return "\n".join(lines)


def as_path(given: object) -> Path:
    """A path of what a caller handed in.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"a file is named by a path, not by {type(given).__name__}")
    path = Path(os.fsdecode(given))
    if "\0" in str(path):
        raise UsageError("a path cannot hold a NUL character")
    return path


@contextmanager
def _told(path: Path, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """What the system says of a path, as one of our errors: links in a ring, no permission."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise kind(f"{path}: {' '.join(words.split()).lower()}") from error


def make_request(
    input: str | Path, output: str | Path | None, config: Config, overwrite: bool
) -> tuple[Request, MediaInfo, tuple[str, ...]]:
    """Check paths and find the output's name.

    Returns:
        The request, what the input is, and a note where the name needed a choice.

    Raises:
        InputError: the input is not there or is no video.
        UsageError: the output is the input, is a folder, or exists and may not be replaced.
        OutputError: there is no folder to write to.
    """
    if input is None:
        raise UsageError("there is no input")
    source = as_path(input)
    piped = source == PIPE
    if not piped:
        with _told(source, InputError):
            if not source.exists():
                raise InputError(f"{source}: there is no such file")
            check_regular(source)
    elif output is None:
        raise UsageError("-: what is piped in needs a name for the result, or - for a pipe")
    wanted = [config.method.name, *(region.method for region in config.regions)]
    for chosen in config.targets.values():
        wanted.append(chosen if isinstance(chosen, str) or chosen is None else chosen.name)
    for name in wanted:
        if name is not None and name not in known_methods():
            raise plugins.unknown("method", name, METHODS)
    info = standard_input().info if piped else describe_file(source)
    notes: tuple[str, ...] = ()
    if output is not None and pipe_suffix(as_path(output)):
        if info.photo is not None:
            raise UsageError(f"{output}: a photo is written to a file, not to a pipe")
        # From here on it belongs to the video, whatever a pipeline prints.
        standard_output()
        words = "written to a pipe: what a run that fails has written cannot be taken back"
        return Request(source, as_path(output), config, overwrite), info, (words,)
    if output is None:
        suffix, note = default_suffix(info)
        target = source.with_name(f"{source.stem}{SUFFIX}{suffix}")
        notes = (note,) if note else ()
    else:
        target = as_path(output)
    with _told(target, OutputError):
        if target.is_dir():
            raise UsageError(f"{target}: is a folder, not a file name")
        if not piped and target.exists() and target.samefile(source):
            raise UsageError(f"{target}: is the input; inputs are never written to")
        if os.path.lexists(target) and not overwrite:
            raise UsageError(f"{target}: exists")
        if not target.parent.is_dir():
            raise OutputError(f"{target}: there is no folder {target.parent}")
    return Request(source, target, config, overwrite), info, notes


def make_plan(
    input: str | Path,
    output: str | Path | None,
    config: Config,
    overwrite: bool = True,
    tracks: str | Path | None = None,
) -> Plan:
    """Plan a run without starting it.

    Args:
        input, output, config, overwrite: as for ``make_request``.
        tracks: a Tracks file of the input, or None to analyse it.

    Raises:
        StreamAnonError: as from ``make_request`` and ``plan_streams``.
    """
    request, info, notes = make_request(input, output, config, overwrite)
    if tracks is not None:
        if info.path is None:
            raise UsageError("-: a Tracks file is of a file, whose hash is compared first")
        file = as_path(tracks)
        if os.path.realpath(request.output) == os.path.realpath(file):
            raise UsageError(f"{request.output}: is the Tracks file, which is only read")
        request = replace(request, tracks=file, config=_same_part(file, config))
        config = request.config
    suffix = pipe_suffix(request.output)
    target = request.output if suffix is None else Path(f"-{suffix}")
    chosen = device.choose(config.device)
    media = plan_streams(info, target, config.video, on_gpu=chosen.name == "cuda")
    return Plan(request, info, media, chosen, notes)


def _same_part(tracks: Path, config: Config) -> Config:
    """The configuration with the part of the input that was analysed.

    Raises:
        UsageError: another part is asked for: the file does not know what is in it.
        TracksError: it is no Tracks file.
    """
    header = read_header(tracks)
    for name, there in (("start", header.start), ("end", header.end)):
        asked = getattr(config.video, name)
        if asked is not None and asked != there:
            had = "from beginning to end" if there is None else f"with {name} {there:g}"
            raise UsageError(f"{tracks}: was made {had}; leave --{name} out to render just that")
    return override(config, **{"video.start": header.start, "video.end": header.end})
