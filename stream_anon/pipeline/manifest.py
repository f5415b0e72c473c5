"""What a run did, gathered into its report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import metadata

import av

from stream_anon.methods.base import Method
from stream_anon.networks import WEIGHTS, registry
from stream_anon.pipeline.flow import Clock
from stream_anon.pipeline.frames import networks
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import (
    ModelPart,
    PicturesPart,
    Report,
    StreamPart,
    TimePart,
    ToolPart,
    TrackPart,
    file_part,
)

OWN_LICENCE = "Apache-2.0; the terms of the training pictures are in docs/models"

LIBRARIES = ("av", "numpy", "openvino", "opencv-python-headless")


@dataclass(slots=True)
class Outcome:
    """What the pipeline itself can tell.

    Attributes:
        pictures: counts.
        tracks: by number.
        copied: packets copied, by stream.
        clock: seconds by stage.
        input, output: bytes and SHA-256 of what was read and of what was written.
        notes: what the source had to put up with, in words.
    """

    pictures: PicturesPart = field(default_factory=PicturesPart)
    tracks: dict[int, TrackPart] = field(default_factory=dict)
    copied: dict[int, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)
    input: tuple[int, str] | None = None
    output: tuple[int, str] | None = None


def manifest(plan: Plan, outcome: Outcome, method: Method, detector: str) -> Report:
    """The report of a run that ended well."""
    dropped, named = list(plan.media.dropped), plan.request.input.name
    if not plan.request.config.video.keep_metadata:
        # A name may tell who, where and when, as any other metadata.
        dropped.append("report: name of the input file")
        named = f"input{plan.request.input.suffix}"
    config = plan.request.config.model_dump(mode="json", exclude={"models_dir"})
    streams = [
        StreamPart(
            index=stream.index,
            kind=stream.kind,
            codec=stream.codec,
            action=stream.action,
            reason=stream.reason,
            output_codec=stream.output_codec,
            packets=outcome.copied.get(stream.index, 0) if stream.action == "copy" else None,
        )
        for stream in plan.media.streams
    ]
    return Report(
        tool=ToolPart(libraries=_versions()),
        input=file_part(named, outcome.input),
        output=file_part(plan.request.output.name, outcome.output),
        config=config,
        device=plan.device.name,
        method=method.name,
        detector=detector,
        models=[_model(name) for name in (detector, *networks(method), *method.networks())],
        streams=streams,
        dropped=dropped,
        notes=[*plan.media.notes, *plan.notes, *outcome.notes],
        pictures=outcome.pictures,
        tracks=[outcome.tracks[number] for number in sorted(outcome.tracks)],
        privacy=dict(method.privacy()),
        time=TimePart(wall=_rounded(outcome.clock.wall), processor=_rounded(outcome.clock.cpu)),
    )


def _model(name: str) -> ModelPart:
    if name in registry.names():
        entry = registry.describe(name)
        return ModelPart(name=name, sha256=entry.sha256, licence=entry.licence)
    # The project's own networks come with the package; the graph lies beside its weights.
    parts = [(WEIGHTS / f"{name}{kind}").read_bytes() for kind in (".onnx", ".safetensors")]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    return ModelPart(name=name, sha256=digest, licence=OWN_LICENCE)


def _versions() -> dict[str, str]:
    found = {name: metadata.version(name) for name in LIBRARIES}
    found["ffmpeg"] = av.ffmpeg_version_info
    return found


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}
