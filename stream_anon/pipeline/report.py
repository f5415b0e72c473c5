"""The run manifest: what was done, to which file, with what, and how well.

It names nobody and holds no image, code or key. Its JSON schema is committed as
``docs/report.schema.json``; a test holds the two together.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_anon._version import __version__


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ToolPart(_Part):
    """What ran."""

    name: Literal["stream-anon"] = "stream-anon"
    version: str = __version__
    python: str = Field(default_factory=platform.python_version)
    platform: str = Field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    libraries: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that decode, encode and run the networks."""


class ModelPart(_Part):
    """A network that ran."""

    name: str
    sha256: str
    licence: str


class FilePart(_Part):
    """An input or output file."""

    name: str | None
    """File name without its folder; null where `report.file_names` leaves it out, since a name
    often says who, where or when. The hash tells which file it is."""
    bytes: int
    sha256: str
    """Of the input as it was read, and of the output before it took its name."""


class StreamPart(_Part):
    """What was done to one stream of the input."""

    index: int
    kind: str
    codec: str
    action: Literal["redact", "copy", "drop"]
    reason: str
    output_codec: str | None = None
    packets: int | None = None
    """Packets copied, for a copied stream."""
    decoder: str | None = None
    """What decoded a redacted stream and where, and why not on the GPU where one was chosen."""
    encoder: str | None = None
    """What encoded it and where, and from frames of which pixel format."""


class FramesPart(_Part):
    """Counts of frames over all redacted streams."""

    input: int = 0
    """Read; each of them was written or dropped."""
    output: int = 0
    dropped: int = 0
    """Frames of a live source that were dropped unseen since the work did not keep up."""
    gaps: dict[str, int] = Field(default_factory=dict)
    """Places where a live source broke off, by reason; every track ended there."""
    with_faces: int = 0
    """Frames in which at least one face was painted, or which were covered whole."""
    detections_run: int = 0
    """Frames that the detector saw whole."""
    partial_detections_run: int = 0
    """Frames of which it saw what was new, moved or was followed."""
    stepped_down: dict[str, int] = Field(default_factory=dict)
    """Frames that left below the chosen method: on 'fill', 'pixelated' or 'black'."""
    faces_stepped_down: int = 0
    """Faces that took the solid cover instead of the chosen method."""
    reasons: dict[str, int] = Field(default_factory=dict)


class TrackPart(_Part):
    """What was followed through one stream. No place, no image, no code."""

    track: int
    stream: int
    label: str = "face"
    """What it is; `region` was drawn by hand."""
    first_pts: int
    last_pts: int
    first_seconds: float
    last_seconds: float
    frames: int


class LabelPart(_Part):
    """What became of one label: faces, heads, drawn regions, those of a plug-in."""

    tracks: int = 0
    regions: int = 0
    """How often one was painted, over all frames; frames that were covered whole not counted."""
    methods: dict[str, int] = Field(default_factory=dict)
    """Likewise by what painted them."""
    stepped_down: int = 0
    """How often one took a cover instead."""


class KeptPart(_Part):
    """A track that an edit left visible, with the reason that its author gave."""

    track: int
    stream: int
    reason: str
    first_seconds: float
    last_seconds: float
    frames: int
    """In how many frames it was left visible."""


class FoldedPart(_Part):
    """Tracks that were too many to be told one by one, together."""

    tracks: int = 0
    frames: int = 0
    """Over all of them."""
    first_seconds: float
    last_seconds: float


class AnalysisPart(_Part):
    """The Tracks file that was rendered. It holds places, so it is named by its hash alone."""

    tracks_sha256: str
    tool_version: str
    created: str
    edits: dict[str, int]
    """Edits that count, by verb."""


class UnchangedPart(_Part):
    """A frame of the output with faces that are as they were. No place, no frame."""

    stream: int
    index: int | None
    """In presentation order from 0; none where the file could not be counted through."""
    seconds: float
    """Presentation time in the output."""
    faces: int


class VerificationPart(_Part):
    """The second look at the finished file, beside the input."""

    mode: Literal["sampled", "full"]
    passed: bool | None
    """None: it was not made."""
    detector: str | None = None
    """The second detector."""
    frames: int = 0
    """Compared."""
    faces: int = 0
    """Found by the second detector in the input's frames that were compared."""
    unchanged: int = 0
    """Of these, open in the output."""
    unchanged_frames: int = 0
    """Frames that show such a face."""
    named: list[UnchangedPart] = Field(default_factory=list)
    """The first 1000 of them."""
    problem: str | None = None
    """Why the check could not be made, or ended early."""
    outcome: Literal["published", "kept aside", "removed"] = "published"
    """What became of the file."""
    seconds: float = 0.0


class TimePart(_Part):
    """Seconds spent."""

    total: float = 0.0
    wall: dict[str, float] = Field(default_factory=dict)
    """By stage; stages run side by side, so the sum may exceed the total."""
    processor: dict[str, float] = Field(default_factory=dict)
    """Processor time of each stage's own thread, without the encoder's and decoder's threads."""


class Report(_Part):
    """The manifest of one run over one file."""

    schema_version: Literal[1] = 1
    tool: ToolPart = Field(default_factory=ToolPart)
    started: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """UTC, ISO 8601."""
    input: FilePart
    output: FilePart | None
    """None where the file was removed since it did not pass the verification."""
    config: dict[str, Any]
    """The configuration that ran; folders of this machine are left out."""
    device: str
    method: str
    detector: str
    models: list[ModelPart]
    streams: list[StreamPart]
    dropped: list[str]
    """Metadata and side data that were left out, by name, never by value."""
    notes: list[str] = Field(default_factory=list)
    """What was converted or shortened, in words."""
    frames: FramesPart
    tracks: list[TrackPart]
    """Of a very long run the latest 20,000."""
    tracks_folded: FoldedPart | None = None
    """The others."""
    labels: dict[str, LabelPart] = Field(default_factory=dict)
    """The same by label."""
    kept: list[KeptPart] = Field(default_factory=list)
    """What was left visible on purpose; likewise."""
    kept_folded: FoldedPart | None = None
    analysis: AnalysisPart | None = None
    """None where the frames themselves were analysed in this run."""
    privacy: dict[str, Any] = Field(default_factory=dict)
    """The ledger of randomised releases, for methods that make any."""
    verification: VerificationPart | None = None
    """None where none was wanted."""
    time: TimePart

    @property
    def frames_in(self) -> int:
        """Frames read."""
        return self.frames.input

    @property
    def frames_out(self) -> int:
        """Frames written."""
        return self.frames.output

    @property
    def frames_with_faces(self) -> int:
        """Frames in which something was painted."""
        return self.frames.with_faces

    @property
    def tracks_seen(self) -> int:
        """Tracks that were painted, told one by one or not."""
        return len(self.tracks) + (self.tracks_folded.tracks if self.tracks_folded else 0)

    @property
    def stepped_down(self) -> int:
        """Frames and faces that left below the chosen method."""
        return sum(self.frames.stepped_down.values()) + self.frames.faces_stepped_down

    def to_json(self) -> str:
        """The manifest as it is written by ``--report``."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def summary(self) -> str:
        """One line for a person."""
        frames = self.frames
        rate = frames.output / self.time.total if self.time.total else 0.0
        text = (
            f"{frames.output} frames, {frames.with_faces} with faces, "
            f"{self.tracks_seen} tracks, {rate:.1f} frames/s"
        )
        if frames.dropped:
            text += f"; {frames.dropped} frames dropped to keep up"
        if frames.gaps:
            text += f"; {sum(frames.gaps.values())} gaps"
        if frames.faces_stepped_down:
            text += f"; {frames.faces_stepped_down} times a face was covered by a flat patch"
            if why := self._why_covered():
                text += f" instead ({why})"
        if self.kept:
            text += f"; {len({part.track for part in self.kept})} tracks left visible on purpose"
        if (look := self.verification) is not None and look.passed:
            text += f"; {look.frames} frames checked again"
        for step, count in frames.stepped_down.items():
            text += f"; {count} frames stepped down to {step}"
        return text

    def _why_covered(self) -> str:
        """Why faces took the solid cover, most frequent first, in words for a person."""
        words = {
            f"not fit for {self.method}": f"too small, turned or unclear for {self.method}",
            "the new face was too like the old one": "what was made was too like the face",
        }
        reasons = sorted(self.frames.reasons.items(), key=lambda item: -item[1])
        return ", ".join(f"{words[reason]}: {n}" for reason, n in reasons if reason in words)


def schema() -> dict[str, Any]:
    """The JSON schema of the manifest."""
    made = Report.model_json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return made


def file_part(name: str | None, digest: tuple[int, str] | None) -> FilePart:
    """A file by its name, bytes and SHA-256, which are empty where it is no file."""
    size, sha256 = digest or (0, "")
    return FilePart(name=name, bytes=size, sha256=sha256)


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
