"""The options of ``stream-anon live``: cameras, where their streams go, and what is shared.

The same rules as for ``redact``: unknown keys are refused with the nearest known name, times
carry units, and nothing is guessed. Every option stands in ``configs/cameras.yaml``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from stream_anon import config as options
from stream_anon import plugins, yamlfile
from stream_anon.config import (
    Config,
    DetectorConfig,
    HeadConfig,
    MethodConfig,
    RegionConfig,
    Section,
    TrackerConfig,
)
from stream_anon.errors import ConfigError
from stream_anon.live.decoding import Decoder
from stream_anon.live.secret import named, redacted, scheme_of
from stream_anon.methods import METHODS, known_methods
from stream_anon.sections import (
    AnyDetector,
    AnyMethod,
    Flag,
    Number,
    Span,
    Whole,
    as_path,
    as_tuple,
)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
TARGETS = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
SOURCES = (*TARGETS, "http", "https", "rtp", "v4l2", "file")


def _size(value: Any) -> Any:
    if isinstance(value, str):
        width, times, height = value.partition("x")
        if times and width.isdigit() and height.isdigit():
            return int(width), int(height)
        raise ValueError(f"'{value[:20]}' is no size; write 1280x720")
    return value


File = Annotated[Path, BeforeValidator(as_path)]
Side = Annotated[Whole, Field(ge=64, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_size)]


class EncoderConfig(Section):
    """One encode feeds all outputs of a camera: H.264, no B-frames, no look-ahead."""

    crf: Annotated[Number, Field(ge=10, le=40)] = 23.0
    """Quality, lower is better."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = "superfast"
    """Speed of the encoder."""
    keyframe: Annotated[Span, Field(ge=0.2, le=20)] = 2.0
    """A keyframe at least this often; players and new outputs begin at one."""
    threads: Annotated[Whole, Field(ge=0, le=64)] = 1
    """Threads of one encoder; 0 lets it choose."""


class OutputConfig(Section):
    """Where a camera's stream goes: exactly one of `url`, `hls` and `record`."""

    url: str | None = None
    """A server to publish to, rtsp:// or rtmp://, or a receiver of MPEG-TS, udp:// or tcp://."""
    hls: File | None = None
    """A folder for an HLS stream (fragmented MP4)."""
    record: File | None = None
    """A folder for recordings in segments, or a file that ends in .mp4 or .mkv for one whole."""
    username: str | None = None
    """For the server; the password stands in `password_file`, or `url` names ${VARIABLES}."""
    password_file: File | None = None
    """A file whose first line is the password."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries the stream."""
    tls_verify: Flag = True
    """Refuse a server whose certificate is not its own, for rtsps and https."""
    ca_file: File | None = None
    """Certificates that are trusted; none takes the system's."""
    timeout: Annotated[Span, Field(ge=0.5, le=120)] = 10.0
    """An output that neither takes nor gives anything for this long is opened anew."""
    segment: Annotated[Span, Field(ge=0.5, le=86400)] | None = None
    """Length of a segment of `hls` (default 2s) or `record` (default 10m)."""
    keep: Annotated[Span, Field(gt=0)] | None = None
    """`record`: segments older than this are removed; none keeps all."""
    keep_megabytes: Annotated[Whole, Field(ge=1)] | None = None
    """`record`: the oldest segments are removed above this; none has no limit."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(part is not None for part in (self.url, self.hls, self.record)) != 1:
            raise ValueError("an output has exactly one of 'url', 'hls' and 'record'")
        if self.url is not None and scheme_of(self.url) not in TARGETS:
            raise ValueError(f"'url' begins with one of: {', '.join(TARGETS)}")
        return self

    @property
    def kind(self) -> str:
        """``hls``, ``record``, or the scheme of the address."""
        if self.url is not None:
            return scheme_of(self.url)
        return "hls" if self.hls is not None else "record"


class CameraConfig(Section):
    """One camera."""

    name: Name
    """Lower-case letters, digits and '-': names it in logs, metrics and on the page."""
    source: str
    """rtsp://, rtmp://, http:// (HLS), tcp:// or udp:// (MPEG-TS, also ?listen=1), v4l2:///dev/video0
    or file:///a.mp4 (played in real time, again and again). ${NAME} stands for a variable."""
    username: str | None = None
    """For the camera; the password stands in `password_file`, or `source` names ${VARIABLES}."""
    password_file: File | None = None
    """A file whose first line is the password."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries the stream."""
    tls_verify: Flag = True
    """Refuse a server whose certificate is not its own, for rtsps and https."""
    ca_file: File | None = None
    """Certificates that are trusted; none takes the system's."""
    timeout: Annotated[Span, Field(ge=0.5, le=120)] = 8.0
    """A camera that does not answer, or gives no frame, for this long is opened anew."""
    retry: Annotated[Span, Field(ge=0.05, le=60)] = 0.25
    """Pause before the first new try; it doubles from try to try."""
    retry_longest: Annotated[Span, Field(ge=0.1, le=600)] = 1.0
    """The longest such pause."""
    size: Size | None = None
    """Size of the output, as 1280x720; none takes that of the first frame. It never changes
    while the program runs: what comes in another size is scaled."""
    rate: Annotated[Number, Field(ge=1, le=120)] | None = None
    """Frames a second while there is no picture; none takes the camera's."""
    decoder: Decoder = "auto"
    """Who decodes with `device: cuda`: nvdec, dali (a GOP later), cpu; auto is cpu for UDP."""
    latency: Literal["low", "balanced", "careful"] = "balanced"
    """How long a frame waits for what comes after it: 0.25 s, 0.6 s or 1.7 s. Less waiting shows
    more of faces that the detector finds late."""
    method: AnyMethod | None = None
    """As `method` below, for this camera alone."""
    regions: Annotated[tuple[RegionConfig, ...], BeforeValidator(as_tuple)] = ()
    """Places of this camera's picture that are always painted, as `regions` of `redact`."""
    outputs: Annotated[tuple[OutputConfig, ...], BeforeValidator(as_tuple)] = ()
    """Where its stream goes."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if scheme_of(self.source) not in SOURCES:
            raise ValueError(f"'source' begins with one of: {', '.join(SOURCES)}")
        if self.size is not None and (self.size[0] % 2 or self.size[1] % 2):
            raise ValueError("'size' must be even")
        return self


class OverloadConfig(Section):
    """What is given up, in this order, while frames come faster than they are painted."""

    backlog: Annotated[Span, Field(ge=0.05, le=10)] = 0.4
    """Frames that are this late say that it is too much."""
    longest_interval: Annotated[Span, Field(gt=0, le=1)] = 0.5
    """First the detector looks less often, up to this (and never less often than frames wait)."""
    methods: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("pixelate", "fill")
    """Then these methods take the place of the chosen one. After that, frames are left out."""
    patience: Annotated[Span, Field(ge=0.2, le=600)] = 2.0
    """Each step is given this long to help; five times as long in order is a step back."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        cheap = ("pixelate", "blur", "fill")
        if wrong := [name for name in self.methods if name not in cheap]:
            raise ValueError(f"'{wrong[0]}' is no method to step down to; {', '.join(cheap)} are")
        return self


class PageConfig(Section):
    """The page, the metrics and the health checks; needs the [live] extra."""

    listen: str | None = None
    """Address and port, as 127.0.0.1:8080; none opens no port."""
    token: str | None = None
    """${NAME} or file:/path of a secret that callers must show (`Authorization: Bearer`, or the
    page's password); without one only loopback addresses are listened on."""
    preview: Flag = True
    """Show the anonymized picture on the page."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.listen is None:
            return self
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("'listen' is an address and a port, such as 127.0.0.1:8080")
        loopback = host in ("127.0.0.1", "localhost", "[::1]", "::1")
        if not loopback and self.token is None:
            raise ValueError("'listen' beyond the loopback address needs a 'token'")
        return self


class LogConfig(Section):
    """Lines on standard error; never who, where, or a credential."""

    format: Literal["text", "json"] = "text"
    """For people, or one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""


class LiveConfig(Section):
    """Everything that `live` can be told."""

    cameras: Annotated[tuple[CameraConfig, ...], BeforeValidator(as_tuple)] = ()
    """The cameras, each with its outputs."""
    method: AnyMethod = MethodConfig()
    """What happens to a face, as for `redact`."""
    targets: dict[str, Any] | None = None
    """What is painted, as for `redact`; none paints faces."""
    head: HeadConfig = HeadConfig()
    """How heads are followed, as for `redact`."""
    detector: AnyDetector = DetectorConfig()
    """Where the faces are, as for `redact`."""
    tracker: TrackerConfig = TrackerConfig()
    """How faces are followed, as for `redact`; `latency` follows from each camera's."""
    encoder: EncoderConfig = EncoderConfig()
    overload: OverloadConfig = OverloadConfig()
    page: PageConfig = PageConfig()
    log: LogConfig = LogConfig()
    pipeline: str = "live"
    """Which parts work together: a name, or a path of a file like pipelines/live.py."""
    painters: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = "auto"
    """Processes that share the cameras' painting, at 145 MB and more each. `auto` is one a
    processor while there are cameras for them, or one alone with `device: cuda`."""
    stall: Annotated[Span, Field(ge=1, le=600)] = 15.0
    """A process that gives no sign for this long is ended and started anew."""
    standby: Flag = True
    """Keep a painter and a reader ready for one that dies, at the memory of another painter."""
    drain: Annotated[Span, Field(ge=0.5, le=600)] = 10.0
    """When it is told to end, files and streams are given this long to be finished."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where frames are decoded (`decoder`) and painted and networks run, as for `redact`."""
    models_dir: File | None = None
    """Folder with network weights; none takes STREAM_ANON_MODELS or the user's cache."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [camera.name for camera in self.cameras]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two cameras '{sorted(twice)[0]}'")
        for camera in self.cameras:
            # What is wrong with the methods and targets shows now, not in a process of its own.
            try:
                config = self.engine(camera)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            known = known_methods()
            for name in (config.method.name, *(region.method for region in config.regions)):
                if name is not None and name not in known:
                    raise ValueError(str(plugins.unknown("method", name, METHODS)))
        return self

    def engine(self, camera: CameraConfig) -> Config:
        """The options of one camera's analysis and painting, as a file's run has them.

        Raises:
            ConfigError: they do not fit together.
        """
        from stream_anon.live.latency import tracker

        data = {
            "detector": self.detector.model_dump(),
            "tracker": tracker(self.tracker, camera.latency).model_dump(),
            "method": (camera.method or self.method).model_dump(),
            "regions": [region.model_dump() for region in camera.regions],
            "head": self.head.model_dump(),
            # A fault covers what it concerns; ending the stream would help nobody.
            "fault": {"policy": "step-down"},
            "verify": {"mode": "off"},
            "device": self.device,
            "models_dir": self.models_dir,
        }
        if self.targets is not None:
            data["targets"] = self.targets
        return options.parse(data, camera.name)

    def variables(self) -> set[str]:
        """Variables of the environment that are named anywhere."""
        texts = [self.page.token or ""]
        for camera in self.cameras:
            texts += [camera.source, camera.username or ""]
            for output in camera.outputs:
                texts += [output.url or "", output.username or ""]
        return set().union(*map(named, texts))


def load(path: str | Path) -> LiveConfig:
    """Read ``cameras.yaml``.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value is out of range.
    """
    try:
        data = yamlfile.read(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is no text"
        raise ConfigError(f"{path}: cannot be read ({why.lower()})") from None
    except yamlfile.YamlError as error:
        # YAML's own words quote the line, which may hold what should not be there.
        raise ConfigError(f"{path}: is not YAML ({redacted(str(error), ())})") from None
    found = parse({} if data is None else data, str(path))
    if not found.cameras:
        raise ConfigError(f"{path}: names no camera")
    return found


def parse(data: Any, origin: str = "configuration") -> LiveConfig:
    """Validate a mapping.

    Raises:
        ConfigError: with one line for all that is wrong, and no value that might be secret.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: must be a mapping of options, is {type(data).__name__}")
    try:
        return LiveConfig.model_validate(data)
    except ValidationError as error:
        # The cause would carry the input, passwords included.
        raise ConfigError(f"{origin}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            last = str(item["loc"][-1])
            near = difflib.get_close_matches(last, _known(item["loc"]), n=1, cutoff=0.5)
            hint = f", did you mean '{near[0]}'?" if near else ""
            lines.append(f"unknown option '{name}'{hint}")
            continue
        words = item["msg"].removeprefix("Value error, ")
        lines.append(f"{f'option {name!r}' if name else 'options'}: {words[0].lower()}{words[1:]}")
    return redacted("; ".join(lines), ())


def _known(location: tuple[Any, ...]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {
        "cameras": CameraConfig, "outputs": OutputConfig, "method": MethodConfig,
        "detector": DetectorConfig, "tracker": TrackerConfig, "encoder": EncoderConfig,
        "overload": OverloadConfig, "page": PageConfig, "log": LogConfig,
    }  # fmt: skip
    inner = [part for part in location[:-1] if part in parts]
    return list((parts[str(inner[-1])] if inner else LiveConfig).model_fields)
