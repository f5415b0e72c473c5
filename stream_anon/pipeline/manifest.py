"""What a run did, gathered into its report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import av

from stream_anon.methods.base import Method
from stream_anon.models import WEIGHTS, registry
from stream_anon.pipeline.counts import Tally
from stream_anon.pipeline.flow import Clock
from stream_anon.pipeline.painting.face_stabilizer import networks
from stream_anon.pipeline.painting.ladder import LabelStats
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.report import (
    AnalysisPart,
    LabelPart,
    ModelPart,
    Report,
    StreamPart,
    TimePart,
    ToolPart,
    VerificationPart,
    file_part,
)

OWN_LICENCE = "Apache-2.0; the terms of the training images are in docs/models"

LIBRARIES = ("av", "numpy", "openvino", "opencv-python-headless")


@dataclass(slots=True)
class Outcome:
    """What the pipeline itself can tell.

    Attributes:
        tally: counts of frames and tracks.
        copied: packets copied, by stream.
        clock: seconds by stage.
        input, output: bytes and SHA-256 of what was read and of what was written.
        notes: what the source had to put up with, in words.
        labels: what the gate counted of each label.
        networks: that analysed.
        decoded, encoded: by what, by stream, in words.
    """

    tally: Tally = field(default_factory=Tally)
    copied: dict[int, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)
    labels: Mapping[str, LabelStats] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    decoded: Mapping[int, str] = field(default_factory=dict)
    encoded: Mapping[int, str] = field(default_factory=dict)
    input: tuple[int, str] | None = None
    output: tuple[int, str] | None = None


def manifest(
    plan: Plan,
    outcome: Outcome,
    methods: Sequence[Method],
    detector: str,
    analysis: AnalysisPart | None = None,
    verification: VerificationPart | None = None,
    output: str | None = None,
) -> Report:
    """The report of a run.

    Args:
        plan: what was to be done.
        outcome: what was done.
        methods: the run's own first, then those that single regions asked for.
        detector: its name.
        analysis: the Tracks file that was rendered, if one was.
        verification: what the second look came to.
        output: name of the file that was made, None if it was removed.
    """
    given = plan.request.config
    config = given.model_dump(mode="json", exclude={"models_dir", "regions"})
    dropped, named = list(plan.media.dropped), given.report.file_names
    if named == "auto":
        # A name may tell who, where and when, as any other metadata.
        named = "both" if given.video.keep_metadata else "output"
    if named != "both":
        dropped.append("report: name of the input file")
    streams = [
        StreamPart(
            index=stream.index,
            kind=stream.kind,
            codec=stream.codec,
            action=stream.action,
            reason=stream.reason,
            output_codec=stream.output_codec,
            packets=outcome.copied.get(stream.index, 0) if stream.action == "copy" else None,
            decoder=outcome.decoded.get(stream.index),
            encoder=outcome.encoded.get(stream.index),
        )
        for stream in plan.media.streams
    ]
    used = list(outcome.networks)
    used += [name for method in methods for name in (*networks(method), *method.networks())]
    if verification is not None and verification.detector is not None:
        used.append(verification.detector)
    called = output if named != "none" else None
    return Report(
        tool=ToolPart(libraries=_versions()),
        input=file_part(plan.request.input.name if named == "both" else None, outcome.input),
        output=None if output is None else file_part(called, outcome.output),
        config=config,
        device=plan.device.name,
        method=methods[0].name,
        detector=detector,
        models=[_model(name) for name in dict.fromkeys(used)],
        streams=streams,
        dropped=dropped,
        notes=[*plan.media.notes, *plan.notes, *outcome.notes],
        frames=outcome.tally.frames,
        tracks=outcome.tally.painted.painted(),
        tracks_folded=outcome.tally.painted.folded,
        labels=_labels(outcome),
        kept=outcome.tally.kept.visible(),
        kept_folded=outcome.tally.kept.folded,
        analysis=analysis,
        privacy=_together([method.privacy() for method in methods]),
        verification=verification,
        time=TimePart(wall=_rounded(outcome.clock.wall), processor=_rounded(outcome.clock.cpu)),
    )


def _labels(outcome: Outcome) -> dict[str, LabelPart]:
    """What was painted, by label."""
    return {
        label: LabelPart(
            tracks=stats.tracks,
            regions=stats.regions,
            methods=stats.methods,
            stepped_down=stats.stepped_down,
        )
        for label, stats in sorted(outcome.labels.items())
    }


def _together(ledgers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One ledger of several methods'."""
    made = [dict(ledger) for ledger in ledgers if ledger]
    if len(made) < 2:
        return made[0] if made else {}
    whole = made[0]
    for other in made[1:]:
        for key in ("mechanisms", "tracks", "folded", "composition"):
            whole[key] = [*whole[key], *other[key]]
        whole["limits"] = list(dict.fromkeys([*whole["limits"], *other["limits"]]))
        whole["unsafe_seed"] = whole["unsafe_seed"] or other["unsafe_seed"]
    return whole


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
