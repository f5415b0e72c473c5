"""What a run did, gathered into its report."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

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
    VerificationPart,
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
        notes: what the source had to put up with, in words.
    """

    pictures: PicturesPart = field(default_factory=PicturesPart)
    tracks: dict[int, TrackPart] = field(default_factory=dict)
    copied: dict[int, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)


def manifest(
    plan: Plan,
    outcome: Outcome,
    method: Method,
    detector: str,
    verification: VerificationPart | None = None,
    output: Path | None = None,
) -> Report:
    """The report of a run.

    Args:
        plan: of the run.
        outcome: counts and times.
        method: that ran.
        detector: name of the one that analysed.
        verification: what the second look came to.
        output: the file that was made, None if there is none any more.

    Raises:
        OSError: the input or output cannot be read back for its hash.
    """
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
    ran = [detector, *networks(method), *method.networks()]
    if verification is not None and verification.detector is not None:
        ran.append(verification.detector)
    return Report(
        tool=ToolPart(libraries=_versions()),
        input=file_part(plan.request.input),
        output=None if output is None else file_part(output),
        config=config,
        device=plan.device.name,
        method=method.name,
        detector=detector,
        models=[_model(name) for name in dict.fromkeys(ran)],
        streams=streams,
        dropped=list(plan.media.dropped),
        notes=[*plan.media.notes, *plan.notes, *outcome.notes],
        pictures=outcome.pictures,
        tracks=[outcome.tracks[number] for number in sorted(outcome.tracks)],
        privacy=dict(method.privacy()),
        verification=verification,
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
