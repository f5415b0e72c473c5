"""The sections of the configuration, and what plug-ins build theirs from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    Strict,
    model_validator,
)

from stream_anon import plugins, units


def as_seconds(value: Any) -> Any:
    """A span of time with its unit, in seconds; all else as it is."""
    return units.span(value) if isinstance(value, str) else value


def as_moment(value: Any) -> Any:
    """A moment as it is written, in seconds; all else as it is."""
    return units.moment(value) if isinstance(value, str) else value


def as_path(value: Any) -> Any:
    """A path of a text; all else as it is."""
    return Path(value) if isinstance(value, str) else value


def as_tuple(value: Any) -> Any:
    """A tuple of a list; all else as it is."""
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Span = Annotated[float, BeforeValidator(as_seconds), Strict(), Field(allow_inf_nan=False)]
"""Seconds; also read from ``250ms``, ``1.5s``, ``2m``, ``1h``."""
Moment = Annotated[float, BeforeValidator(as_moment), Strict(), Field(allow_inf_nan=False)]
"""Seconds into a video; also read from ``90s`` and ``h:mm:ss``."""
Level = Annotated[int, Strict(), Field(ge=0, le=255)]


class Section(BaseModel):
    """A frozen group of options that knows no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DetectorSection(Section):
    """What every detector is told, that of a plug-in too, whose section derives from this."""

    name: str
    threshold: Annotated[Number, Field(ge=0, le=0.5)] = 0.2
    """Score from which a detection starts a track."""
    keep_threshold: Annotated[Number, Field(ge=0, le=0.5)] = 0.08
    """Score from which a detection continues a track that exists; not above `threshold`."""
    smallest_face: Annotated[Number, Field(ge=12, le=60)] = 20.0
    """Side in pixels of the smallest face that must be found; sets the network's input size."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # Else a track would be lost by the very look that should continue it.
        if self.keep_threshold > self.threshold:
            raise ValueError(
                f"'keep_threshold' ({self.keep_threshold:g}) must not be above 'threshold' "
                f"({self.threshold:g})"
            )
        return self


class DetectorConfig(DetectorSection):
    """Where the faces are."""

    name: Literal["centerface", "yunet"] = "centerface"
    """Network: `centerface` (default), `yunet` (from a local file), or that of a plug-in."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """Arithmetic; `auto` takes bf16 where the processor has it."""
    threads: Annotated[Whole, Field(ge=0, le=256)] = 0
    """Threads of the network; 0 lets the pipeline choose."""


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


class HeadConfig(Section):
    """How heads are followed, where they are a target."""

    hold: Annotated[Span, Field(ge=0, le=10)] = 3.0
    """A head is painted this long after it was last found, at most 10s, growing: it may have
    turned away."""
    bodies: bool | None = None
    """Look for heads above bodies too, which shows some that never show a face. true: or stop
    where its network is missing; none: where it is at hand or can be fetched; false: never."""
    interval: Annotated[Span, Field(gt=0, le=5)] = 0.28
    """Bodies, and the targets of plug-ins, are looked for this often, at most 5s."""


class MethodSection(Section):
    """What every method is told: its name. The section of a plug-in's method derives from this."""

    name: str


class MethodConfig(MethodSection):
    """What happens to a face."""

    name: str = "identity"
    """`identity`, `dp-image`, `visual-mixer`, `pixelate`, `blur`, `fill`, or that of a plug-in,
    whose own options then stand here instead."""
    cells: Annotated[Whole, Field(ge=2, le=32)] = 8
    """`pixelate`: cells across the aligned face space."""
    blur: Annotated[Number, Field(gt=0, le=1)] = 0.22
    """`blur`: standard deviation as a share of the aligned face space's side."""
    colour: Annotated[tuple[Level, Level, Level] | None, BeforeValidator(as_tuple)] = None
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
    decoder: Literal["auto", "cpu", "nvdec", "dali"] = "auto"
    """With `device: cuda`: `nvdec` decodes to the samples that the CPU gives; `dali` several groups
    of pictures at a time, through RGB; `auto`: nvdec, then dali, then the CPU, for each stream, and
    with `fault.policy: stop` the CPU for MPEG-TS, since GPUs conceal damage."""
    encoder: Literal["auto", "cpu", "nvenc"] = "auto"
    """With `device: cuda`: `nvenc` where the GPU has it, else the CPU; or by name."""
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


METHOD_NAMES = ("identity", "dp-image", "visual-mixer", "pixelate", "blur", "fill")
"""Methods that come with the package; their options stand in one section, ``MethodConfig``."""
DETECTOR_NAMES = ("centerface", "yunet")


def section_of(kind: plugins.Kind, name: Any) -> type[Section]:
    """The model that a section is held against: that of the plug-in that it names, or our own.

    Raises:
        ConfigError: the plug-in is broken.
    """
    base: type[Section]
    base, own, ours = (
        (MethodSection, MethodConfig, METHOD_NAMES)
        if kind == "method"
        else (DetectorSection, DetectorConfig, DETECTOR_NAMES)
    )
    if isinstance(name, str) and name not in ours:
        found: type[Section] | None = plugins.section(kind, name, base)
        return own if found is None else found
    return own


def _as_section(kind: plugins.Kind, value: Any) -> Any:
    if isinstance(value, MethodSection if kind == "method" else DetectorSection):
        return value
    name = value.get("name") if isinstance(value, dict) else None
    return section_of(kind, name).model_validate(value)


def as_method(value: Any) -> MethodSection:
    """A method's section, held against the model that its name stands for."""
    made: MethodSection = _as_section("method", value)
    return made


def as_detector(value: Any) -> DetectorSection:
    """A detector's section, likewise."""
    made: DetectorSection = _as_section("detector", value)
    return made


AnyMethod = Annotated[SerializeAsAny[MethodSection], PlainValidator(as_method)]
AnyDetector = Annotated[SerializeAsAny[DetectorSection], PlainValidator(as_detector)]


def _corner(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = float(value.strip()[:-1])
        except ValueError:
            raise ValueError(f"'{value}' is no share of a side, 12.5% say") from None
        if not 0.0 <= share <= 100.0:
            raise ValueError(f"'{value}' does not lie in 0% to 100%")
        return f"{share:g}%"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a coordinate is a number of pixels, or a share such as 12.5%")
    return float(value)


Coordinate = Annotated[float | str, BeforeValidator(_corner)]
"""Pixels, or a share of the frame's side: ``"12.5%"``."""
Corners = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=2, max_length=256)]


def _corners(value: Any) -> Any:
    """Nested lists or tuples; two corners in one flat list too."""
    if isinstance(value, list | tuple):
        value = tuple(tuple(one) if isinstance(one, list) else one for one in value)
        flat = not any(isinstance(one, tuple) for one in value)
        if flat and len(value) % 2 == 0:
            value = tuple(zip(value[::2], value[1::2], strict=True))
    return value


class RegionConfig(Section):
    """A place that is always painted: a rectangle or a polygon, as a viewer sees the frame."""

    corners: Annotated[Corners, BeforeValidator(_corners)]
    """Two opposite corners of a rectangle, x0 y0 x1 y1, or three and more of a polygon; pixels
    of the upright frame, or shares of its sides (10%)."""
    method: str | None = None
    """Paints it in the place of the target's method."""
    stream: Annotated[Whole, Field(ge=0)] | None = None
    """Index of the one video stream that is meant; none means all."""
    start: Annotated[Moment, Field(ge=0)] | None = None
    """From this moment on."""
    end: Annotated[Moment, Field(gt=0)] | None = None
    """Up to this moment."""
