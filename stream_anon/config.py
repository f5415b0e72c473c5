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
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from stream_anon import plugins, units, yamlfile
from stream_anon.errors import ConfigError
from stream_anon.regions import FACE, HEAD, LABEL, REGION
from stream_anon.sections import (
    AnyDetector,
    AnyMethod,
    DetectorConfig,
    DetectorSection,
    FaultConfig,
    Flag,
    HeadConfig,
    MethodConfig,
    MethodSection,
    RegionConfig,
    ReportConfig,
    Section,
    TrackerConfig,
    VerifyConfig,
    VideoConfig,
    as_method,
    as_moment,
    as_path,
    as_seconds,
    as_tuple,
    section_of,
)

__all__ = [
    "OPTIONS",
    "Config",
    "DetectorConfig",
    "DetectorSection",
    "FaultConfig",
    "HeadConfig",
    "MethodConfig",
    "MethodSection",
    "RegionConfig",
    "ReportConfig",
    "Section",
    "TrackerConfig",
    "VerifyConfig",
    "VideoConfig",
    "document",
    "load",
    "options_to_config",
    "override",
    "parse",
    "unusual",
]

def _as_targets(value: Any) -> dict[str, str | MethodSection | None]:
    if not isinstance(value, dict) or not value:
        raise ValueError("must be a mapping of labels to methods, face: null say")
    made: dict[str, str | MethodSection | None] = {}
    for label, method in value.items():
        if not isinstance(label, str) or not LABEL.fullmatch(label):
            raise ValueError(f"{_short(label)} is no label; there are {', '.join(_labels())}")
        if label not in (FACE, HEAD, REGION) and label not in plugins.names("target"):
            raise ValueError(str(plugins.unknown("target", label, (FACE, HEAD, REGION))))
        if method is not None and not isinstance(method, str):
            if not isinstance(method, dict | MethodSection):
                raise ValueError(f"'{label}': a method is a name or a mapping of options")
            try:
                method = as_method(method)
            except ValidationError as error:
                known = list(section_of("method", method.get("name")).model_fields)
                raise ValueError(f"'{label}': {_explain(error, {}, known)}") from error
        made[label] = method
    return made


def _labels() -> tuple[str, ...]:
    return (FACE, HEAD, REGION, *plugins.names("target"))


_FACES: dict[str, str | MethodSection | None] = {FACE: None}


class Config(Section):
    """Everything that `redact` can be told."""

    detector: AnyDetector = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    method: AnyMethod = MethodConfig()
    targets: Annotated[
        dict[str, str | SerializeAsAny[MethodSection] | None], PlainValidator(_as_targets)
    ] = _FACES
    """What is painted, each label by a method of its own: a name, whose options stand under
    `method`, or a section like it; null takes `method` itself (for what is no face `fill`, where
    that paints faces only). Labels: `face`, `head` (the whole head from any side; beside `face`
    where no face is seen), `region` (see `regions`), or that of a plug-in."""
    regions: Annotated[tuple[RegionConfig, ...], BeforeValidator(as_tuple)] = ()
    """Places that are always painted: a list of `corners` (x0, y0, x1, y1, or a polygon's; pixels
    of the upright frame or 10%), each with `method`, `stream`, `start` and `end` if it has any."""
    head: HeadConfig = HeadConfig()
    video: VideoConfig = VideoConfig()
    fault: FaultConfig = FaultConfig()
    verify: VerifyConfig = VerifyConfig()
    report: ReportConfig = ReportConfig()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where frames are decoded and networks run."""
    models_dir: Annotated[Path | None, BeforeValidator(as_path)] = None
    """Folder with network weights; none takes STREAM_ANON_MODELS or the user's cache."""
    draw_boxes: Flag = False
    """Draw boxes and track numbers on the result, to see what was tracked."""

    @model_validator(mode="after")
    def _seen(self) -> Self:
        if not {FACE, HEAD} & self.targets.keys() and self.verify.mode != "off":
            raise ValueError(
                "neither 'face' nor 'head' is a target, and the second look would find every face "
                "open: set 'verify.mode' to off"
            )
        return self


OPTIONS = {
    "method": "method.name",
    "target": "targets",
    "region": "regions",
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
        raise ConfigError(f"{origin}: {_explain(error, data)}") from error
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def override(config: Config, **changes: Any) -> Config:
    """A copy with dotted options changed: ``override(c, **{"video.crf": 20})``; None is skipped.

    Raises:
        ConfigError: as from ``parse``.
    """
    data = config.model_dump()
    for kind in ("method", "detector"):
        _rename(data, kind, changes.get(f"{kind}.name"))
    for dotted, value in changes.items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return parse(data, origin="options")


def _rename(data: dict[str, Any], kind: Literal["method", "detector"], name: Any) -> None:
    """Make a section one of another plug-in's: of the options there were it keeps what it knows."""
    if name is None or name == data[kind]["name"]:
        return
    model = section_of(kind, name)
    if model is not section_of(kind, data[kind]["name"]):
        data[kind] = {key: value for key, value in data[kind].items() if key in model.model_fields}


def unusual(config: Config) -> list[str]:
    """Options of ``detector`` and ``tracker`` that are not at their default: ``name value``."""
    found = []
    for section in ("detector", "tracker"):
        chosen, default = getattr(config, section), getattr(Config(), section)
        found += [
            f"{section}.{name} {_plain(getattr(chosen, name))}"
            for name in type(chosen).model_fields
            if not hasattr(default, name) or getattr(chosen, name) != getattr(default, name)
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
    readers = (as_seconds, as_moment)
    return any(getattr(part, "func", None) in readers for part in (*field.metadata, *inner))


def _comment(words: str, pad: str) -> list[str]:
    text = " ".join(words.split())
    return textwrap.wrap(text, 96, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = {
            key: one.model_dump(mode="json") if isinstance(one, BaseModel) else one
            for key, one in value.items()
        }
    if isinstance(value, tuple):
        value = [
            one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in value
        ]
    if isinstance(value, Path):
        value = str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _known(location: tuple[Any, ...], data: Any) -> list[str]:
    model: type[BaseModel] = Config
    for name in location[:-1]:
        if name in ("method", "detector"):
            given = data.get(name) if isinstance(data, dict) else None
            kind: Literal["method", "detector"] = "method" if name == "method" else "detector"
            model = section_of(kind, given.get("name") if isinstance(given, dict) else None)
            continue
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


def _explain(error: ValidationError, data: Any, known: list[str] | None = None) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            last = str(item["loc"][-1])
            names = _known(item["loc"], data) if known is None else known
            near = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            lines.append(f"unknown option '{name}'{hint}")
        else:
            words = item["msg"].removeprefix("Value error, ")
            if item["type"] in _KINDS:
                words += f", is {_short(item['input'])}"
            where = f"option '{name}'" if name else "options"
            lines.append(f"{where}: {words[0].lower()}{words[1:]}")
    return "; ".join(lines)
