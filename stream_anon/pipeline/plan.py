"""From a request to a plan: what will be done, with what, before anything is opened for writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stream_anon import device
from stream_anon.config import Config
from stream_anon.errors import ConfigError, InputError, OutputError, UsageError
from stream_anon.methods import METHODS
from stream_anon.video.formats import default_suffix
from stream_anon.video.info import MediaInfo
from stream_anon.video.probe import probe
from stream_anon.video.streams import MediaPlan, plan_streams

SUFFIX = "_anonymized"


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller wants, checked.

    Attributes:
        input: the file to read.
        output: the file to write.
        config: every option.
        overwrite: an output that exists may be replaced.
    """

    input: Path
    output: Path
    config: Config
    overwrite: bool


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
        lines = [
            f"{self.request.input} -> {self.request.output}",
            f"  method {config.method.name}, detector {config.detector.name}, "
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
    source = Path(input)
    if not source.exists():
        raise InputError(f"{source}: there is no such file")
    if source.is_dir():
        raise InputError(f"{source}: is a folder, not a video")
    if config.method.name not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(f"there is no method '{config.method.name}'; there are {known}")
    info = probe(source)
    notes: tuple[str, ...] = ()
    if output is None:
        suffix, note = default_suffix(info)
        target = source.with_name(f"{source.stem}{SUFFIX}{suffix}")
        notes = (note,) if note else ()
    else:
        target = Path(output)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder, not a file name")
    if target.exists():
        if target.samefile(source):
            raise UsageError(f"{target}: is the input; inputs are never written to")
        if not overwrite:
            raise UsageError(f"{target}: exists")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: there is no folder {target.parent}")
    return Request(source, target, config, overwrite), info, notes


def make_plan(
    input: str | Path, output: str | Path | None, config: Config, overwrite: bool = True
) -> Plan:
    """Plan a run without starting it.

    Raises:
        StreamAnonError: as from ``make_request`` and ``plan_streams``.
    """
    request, info, notes = make_request(input, output, config, overwrite)
    media = plan_streams(info, request.output, config.video)
    return Plan(request, info, media, device.choose(config.device), notes)

