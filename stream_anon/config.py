"""The configuration: one validated tree, the same for the command line, YAML files and the API.

Unknown keys are refused with the nearest known name, and so are values of another kind: ``true``
is no number, ``"1"`` neither. Spans of time are seconds, or words with a unit (``250ms``, ``2m``).
Every option stands, with a comment and at its default, in ``configs/redact.yaml``; a test holds
the two together.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from stream_anon import units, yamlfile
from stream_anon.errors import ConfigError


def _seconds(value: Any) -> Any:
    return units.span(value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    return units.moment(value) if isinstance(value, str) else value


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Span = Annotated[float, BeforeValidator(_seconds), Strict(), Field(allow_inf_nan=False)]
"""Seconds; also read from ``250ms``, ``1.5s``, ``2m``, ``1h``."""
Moment = Annotated[float, BeforeValidator(_moment), Strict(), Field(allow_inf_nan=False)]
"""Seconds into a video; also read from ``90s`` and ``h:mm:ss``."""
Level = Annotated[int, Strict(), Field(ge=0, le=255)]


class Section(BaseModel):
    """A frozen group of options that knows no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DetectorConfig(Section):
    """Where the faces are."""

    name: Literal["centerface", "yunet"] = "centerface"
    """Network: `centerface` (default) or `yunet` (from a local file)."""
    threshold: Annotated[Number, Field(ge=0, le=0.5)] = 0.2
    """Score from which a detection starts a track."""
    keep_threshold: Annotated[Number, Field(ge=0, le=0.5)] = 0.08
    """Score from which a detection continues a track that exists; not above `threshold`."""
    smallest_face: Annotated[Number, Field(ge=12, le=60)] = 20.0
    """Side in pixels of the smallest face that must be found; sets the network's input size."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """Arithmetic; `auto` takes bf16 where the processor has it."""
    threads: Annotated[Whole, Field(ge=0, le=256)] = 0
    """Threads of the network; 0 lets the pipeline choose."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # Else a track would be lost by the very look that should continue it.
        if self.keep_threshold > self.threshold:
            raise ValueError(
                f"'keep_threshold' ({self.keep_threshold:g}) must not be above 'threshold' "
                f"({self.threshold:g})"
            )
        return self


class TrackerConfig(Section):
    """How faces are followed; every span is time of the video, at most 10s."""

    interval: Annotated[Span, Field(gt=0, le=1)] = 0.28
    """Where something moves or somebody is followed, the detector looks at least this often, at
    most 1s; where something is new it looks at once."""
    idle_interval: Annotated[Span, Field(gt=0, le=5)] = 2.8
    """Where nothing has changed, the detector looks at least this often, at most 5s."""
    backfill: Annotated[Span, Field(ge=0, le=10)] = 0.6
    """A track is painted this long before its first detection."""
    max_age: Annotated[Span, Field(ge=0, le=10)] = 0.6
    """A track is painted this long after its last detection."""
    max_gap: Annotated[Span, Field(ge=0, le=10)] = 1.4
    """Gaps up to this long within a track are filled."""
    margin: Annotated[Number, Field(ge=0, le=2)] = 0.12
    """Boxes are grown by this share of their size."""
    latency: Annotated[Span, Field(ge=0.1, le=10)] | None = None
    """A frame waits at most this long for what comes after it; none waits as long as `max_gap` and
    `backfill` need. A short one (250ms) shows more of faces that the detector finds late."""
    window_megabytes: Annotated[Whole, Field(ge=16, le=1 << 20)] = 320
    """Memory for frames that wait for the tracker. Short memory shortens `max_gap`, never
    `backfill`: where that needs more, more is taken, and the report says so."""


class MethodConfig(Section):
    """What happens to a face."""

    name: str = "identity"
    """`identity`, `dp-image`, `visual-mixer`, `pixelate`, `blur` or `fill`."""
    cells: Annotated[Whole, Field(ge=2, le=32)] = 8
    """`pixelate`: cells across the aligned face space."""
    blur: Annotated[Number, Field(gt=0, le=1)] = 0.22
    """`blur`: standard deviation as a share of the aligned face space's side."""
    colour: Annotated[tuple[Level, Level, Level] | None, BeforeValidator(_tuple)] = None
    """`fill`: RGB colour; none takes the mean colour of what is covered."""
    mechanism: str | None = None
    """`identity`, `dp-image`: `independent`, `krr`, `laplace`, `l2-laplace`, `gaussian`, `vmf` or
    `privunit`; none takes the method's own (`independent`, `l2-laplace`)."""
    epsilon: Annotated[Number, Field(ge=0, le=1e6)] | None = None
    """`identity`, `dp-image`: privacy budget of one track; above about 10 it is a resemblance
    knob, no strong privacy. 0 takes `independent`."""
    delta: Annotated[Number, Field(gt=0, lt=1)] = 1e-6
    """`identity`, `dp-image`: delta of the `gaussian` mechanism."""
    smallest: Annotated[Number, Field(ge=8, le=512)] = 24.0
    """`identity`, `dp-image`: faces smaller than this many pixels get the solid cover."""
    mesh: bool | None = False
    """`identity`: the face's inside is a texture of the track's own, moved by a dense mesh of the
    video's face: mouth, eyes and head's direction are followed. It looks better; less of its
    privacy was measured (docs/results/looks.md). true: or stop where its network is missing; none:
    where it is at hand or can be fetched; false: never."""
    vfe: Annotated[Number, Field(gt=0, le=500)] | None = None
    """`visual-mixer`: Visual Feature Entropy that is aimed at; none takes the default."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # Ignored, it would leave somebody believing in a privacy budget that was never spent.
        for option in ("mechanism", "epsilon"):
            if getattr(self, option) is not None and self.name not in ("identity", "dp-image"):
                raise ValueError(
                    f"'{option}' belongs to the methods identity and dp-image, not to {self.name}"
                )
        return self


class VideoConfig(Section):
    """How the result is encoded and what is kept."""

    codec: Literal["auto", "h264", "hevc", "av1", "vp9", "gif"] = "auto"
    """`auto` is h264 where the container can hold it."""
    crf: Annotated[Number, Field(ge=0, le=63)] | None = None
    """Quality, lower is better; none takes the codec's default (18 for h264)."""
    encoder_preset: str | None = None
    """Speed of the encoder; none takes the codec's default (veryfast for h264)."""
    audio: Literal["copy", "drop"] = "copy"
    """Sound tracks: copied bit for bit, or left out."""
    subtitles: Literal["copy", "drop"] = "copy"
    """Subtitle tracks: copied bit for bit, or left out. What is said in them may name people."""
    keep_metadata: Flag = False
    """Keep what may tell place, time or device: off drops it and the report names it."""
    start: Annotated[Moment, Field(ge=0)] | None = None
    """Where in the input to begin: seconds, 90s or 0:01:30."""
    end: Annotated[Moment, Field(gt=0)] | None = None
    """Where in the input to end, likewise."""

    @model_validator(mode="after")
    def _span(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError(f"'end' ({self.end:g}) must be after 'start' ({self.start or 0:g})")
        return self


class FaultConfig(Section):
    """What happens when a part fails. Raw frames leave in no case."""

    policy: Literal["stop", "step-down"] = "stop"
    """`stop` ends the run with an error and leaves no output; `step-down` covers the frames
    concerned whole, goes on and counts them."""
    stall_seconds: Annotated[Span, Field(gt=0, le=86400)] = 60.0
    """A part that gives no answer for this long has failed."""


class VerifyConfig(Section):
    """A second look at the finished file, beside the input, before it gets its name."""

    mode: Literal["off", "sampled", "full"] = "sampled"
    """Frames that are looked at again: none, some at random, or all."""
    detector: Literal["auto", "yunet", "blazeface", "centerface"] = "auto"
    """Network of another make than the one that analysed; `auto` takes `yunet` where its file is
    at hand, else `blazeface`."""
    threshold: Annotated[Number, Field(ge=0.05, le=0.5)] = 0.2
    """Score from which it counts what it sees in the original as a face."""
    every: Annotated[Span, Field(gt=0, le=86400)] = 10.0
    """`sampled`: one frame in so many seconds of video, at a moment drawn at random."""
    share: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """`sampled`: share of the run's time that may be spent on more than three frames."""
    on_failure: Literal["keep-aside", "remove"] = "keep-aside"
    """A file that shows an unchanged face is kept as `NAME.unverified.EXT`, or removed."""


class ReportConfig(Section):
    """What the report of a run tells beside its figures."""

    file_names: Literal["auto", "output", "both", "none"] = "auto"
    """Files that are called by their names, without folders. `auto` is the output's, and the
    input's too where `media.keep_metadata` is on. Size and SHA-256 are always there."""


class Config(Section):
    """Everything that `redact` can be told."""

    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    method: MethodConfig = MethodConfig()
    video: VideoConfig = VideoConfig()
    fault: FaultConfig = FaultConfig()
    verify: VerifyConfig = VerifyConfig()
    report: ReportConfig = ReportConfig()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where frames are decoded and networks run."""
    models_dir: Annotated[Path | None, BeforeValidator(_path)] = None
    """Folder with network weights; none takes STREAM_ANON_MODELS or the user's cache."""
    draw_boxes: Flag = False
    """Draw boxes and track numbers on the result, to see what was tracked."""


OPTIONS = {
    "method": "method.name",
    "threshold": "detector.threshold",
    "cells": "method.cells",
    "colour": "method.colour",
    "mechanism": "method.mechanism",
    "epsilon": "method.epsilon",
    "on_fault": "fault.policy",
    "verify": "verify.mode",
    "codec": "video.codec",
    "crf": "video.crf",
    "encoder_preset": "video.encoder_preset",
    "start": "video.start",
    "end": "video.end",
    "audio": "video.audio",
    "subtitles": "video.subtitles",
    "keep_metadata": "video.keep_metadata",
    "device": "device",
    "models_dir": "models_dir",
    "latency": "tracker.latency",
    "draw_boxes": "draw_boxes",
}
"""Options with a short name, on the command line and as keywords of ``stream_anon.redact``,
and where in the tree they stand."""


def load(path: str | Path) -> Config:
    """Read a YAML configuration.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value is out of range.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = yamlfile.read(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except yamlfile.YamlError as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from error
    return parse({} if data is None else data, origin=str(path))


def parse(data: Any, origin: str = "configuration") -> Config:
    """Validate a mapping.

    Raises:
        ConfigError: with one line for all that is wrong.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: must be a mapping of options, is {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_explain(error)}") from error


def override(config: Config, **changes: Any) -> Config:
    """A copy with dotted options changed: ``override(c, **{"video.crf": 20})``; None is skipped.

    Raises:
        ConfigError: as from ``parse``.
    """
    data = config.model_dump()
    for dotted, value in changes.items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return parse(data, origin="options")


def unusual(config: Config) -> list[str]:
    """Options of ``detector`` and ``tracker`` that are not at their default: ``name value``."""
    found = []
    for section in ("detector", "tracker"):
        chosen, default = getattr(config, section), getattr(Config(), section)
        found += [
            f"{section}.{name} {_plain(getattr(chosen, name))}"
            for name in type(chosen).model_fields
            if getattr(chosen, name) != getattr(default, name)
        ]
    return found


def options_to_config(config: Config, options: Mapping[str, Any]) -> Config:
    """A copy with options changed by their short names (``OPTIONS``); None is skipped.

    Raises:
        ConfigError: a name is unknown or a value is out of range.
    """
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"unknown option '{name}'{hint}")
    changes = {OPTIONS[name]: value for name, value in options.items()}
    threshold = options.get("threshold")
    if isinstance(threshold, int | float) and threshold < config.detector.keep_threshold:
        # Who asks for one wants the other along: it may not lie above.
        changes["detector.keep_threshold"] = threshold
    return override(config, **changes)


def document(config: Config) -> str:
    """The configuration as YAML, every option under the comment that explains it."""
    head = "Every option of `stream-anon redact`, at its default. Copy, change, pass by --config."
    if config != Config():
        head = "Options of `stream-anon redact`. Pass by --config."
    return "\n".join([f"# {head}", *_lines(config, 0)]) + "\n"


def _lines(section: BaseModel, depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            comment = (type(value).__doc__ or "").strip()
            lines += ["", *_comment(comment, pad), f"{pad}{name}:", *_lines(value, depth + 1)]
            continue
        if depth == 0:
            lines.append("")
        words = field.description or ""
        if get_origin(field.annotation) is Literal:
            words += f" One of: {', '.join(get_args(field.annotation))}."
        text = units.written(value) if value and _is_time(field) else _plain(value)
        lines += [*_comment(words, pad), f"{pad}{name}: {text}"]
    return lines


def _is_time(field: FieldInfo) -> bool:
    """Whether a field is a ``Span`` or ``Moment``, or may be none."""
    inner = [part for choice in get_args(field.annotation) for part in get_args(choice)]
    readers = (_seconds, _moment)
    return any(getattr(part, "func", None) in readers for part in (*field.metadata, *inner))


def _comment(words: str, pad: str) -> list[str]:
    text = " ".join(words.split())
    return textwrap.wrap(text, 96, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ")


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, Path):
        value = str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _known(location: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for name in location[:-1]:
        field = model.model_fields.get(str(name))
        if field is None or not isinstance(field.annotation, type):
            return []
        model = field.annotation
    return list(model.model_fields)


_KINDS = {"float_type", "int_type", "bool_type", "string_type"}
"""Errors of pydantic that say what a value should be, and not what it is."""


def _short(value: Any) -> str:
    text = _plain(value) if isinstance(value, bool | int | float | str | None) else ""
    return repr(value) if isinstance(value, str) and len(value) < 40 else (
        text if 0 < len(text) < 40 else type(value).__name__
    )


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            last = str(item["loc"][-1])
            near = difflib.get_close_matches(last, _known(item["loc"]), n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            lines.append(f"unknown option '{name}'{hint}")
        else:
            words = item["msg"].removeprefix("Value error, ")
            if item["type"] in _KINDS:
                words += f", is {_short(item['input'])}"
            where = f"option '{name}'" if name else "options"
            lines.append(f"{where}: {words[0].lower()}{words[1:]}")
    return "; ".join(lines)
