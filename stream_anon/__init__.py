"""A streaming video anonymizer: the same video, with faces that nobody recognises.

    import stream_anon
    report = stream_anon.redact("street.mp4", "out.mp4", method="pixelate")

Names are imported when they are first used, so that ``import stream_anon`` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stream_anon._version import __version__

if TYPE_CHECKING:
    from stream_anon.api import analyze, plan, redact, render
    from stream_anon.config import Config
    from stream_anon.detection.base import Detector
    from stream_anon.detection.registry import make_detector
    from stream_anon.detection.types import Face, TrackedFace
    from stream_anon.errors import (
        AnalysisFault,
        Cancelled,
        ConfigError,
        DetectorFault,
        Fault,
        FrameFault,
        GateError,
        InputError,
        MethodFault,
        ModelError,
        OutputError,
        StallFault,
        StreamAnonError,
        TrackerFault,
        TracksError,
        UsageError,
    )
    from stream_anon.media.cleared import Cleared, FallbackLevel
    from stream_anon.media.frame import Frame
    from stream_anon.media.input.base import Source
    from stream_anon.media.input.source import FileSource
    from stream_anon.media.output.sink import FileSink, Sink
    from stream_anon.media.packets import Gap, Packet
    from stream_anon.methods import make_method
    from stream_anon.methods.base import Method, Rendered, Subject
    from stream_anon.pipeline.analysis import Analyzer
    from stream_anon.pipeline.painting.gate import Compositor
    from stream_anon.pipeline.painting.targets import Target, make_targets
    from stream_anon.pipeline.plan import Plan
    from stream_anon.pipeline.report import Report
    from stream_anon.pipeline.run import Pipeline, Progress
    from stream_anon.regions import FrameKey, Region, Regions
    from stream_anon.track_state import Part, TrackState
    from stream_anon.tracking.tracker import Tracker
    from stream_anon.tracks.reader import TracksFile

_HOMES = {
    "stream_anon.api": ("analyze", "plan", "redact", "render"),
    "stream_anon.config": ("Config",),
    "stream_anon.errors": (
        "AnalysisFault",
        "Cancelled",
        "ConfigError",
        "DetectorFault",
        "Fault",
        "GateError",
        "InputError",
        "MethodFault",
        "ModelError",
        "OutputError",
        "FrameFault",
        "StallFault",
        "StreamAnonError",
        "TrackerFault",
        "TracksError",
        "UsageError",
    ),
    "stream_anon.detection.base": ("Detector",),
    "stream_anon.detection.registry": ("make_detector",),
    "stream_anon.detection.types": ("Face", "TrackedFace"),
    "stream_anon.tracking.tracker": ("Tracker",),
    "stream_anon.methods": ("make_method",),
    "stream_anon.methods.base": ("Method", "Rendered", "Subject"),
    "stream_anon.pipeline.analysis": ("Analyzer",),
    "stream_anon.pipeline.painting.gate": ("Compositor",),
    "stream_anon.pipeline.painting.targets": ("Target", "make_targets"),
    "stream_anon.pipeline.plan": ("Plan",),
    "stream_anon.pipeline.report": ("Report",),
    "stream_anon.pipeline.run": ("Pipeline", "Progress"),
    "stream_anon.regions": ("FrameKey", "Region", "Regions"),
    "stream_anon.track_state": ("Part", "TrackState"),
    "stream_anon.tracks.reader": ("TracksFile",),
    "stream_anon.media.cleared": ("Cleared", "FallbackLevel"),
    "stream_anon.media.frame": ("Frame",),
    "stream_anon.media.output.sink": ("FileSink", "Sink"),
    "stream_anon.media.input.base": ("Source",),
    "stream_anon.media.input.source": ("FileSource",),
    "stream_anon.media.packets": ("Gap", "Packet"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AnalysisFault",
    "Analyzer",
    "Cancelled",
    "Cleared",
    "Compositor",
    "Config",
    "ConfigError",
    "Detector",
    "DetectorFault",
    "Face",
    "FallbackLevel",
    "Fault",
    "FileSink",
    "FileSource",
    "Frame",
    "FrameFault",
    "FrameKey",
    "Gap",
    "GateError",
    "InputError",
    "Method",
    "MethodFault",
    "ModelError",
    "OutputError",
    "Packet",
    "Part",
    "Pipeline",
    "Plan",
    "Progress",
    "Region",
    "Regions",
    "Rendered",
    "Report",
    "Sink",
    "Source",
    "StallFault",
    "StreamAnonError",
    "Subject",
    "Target",
    "TrackState",
    "TrackedFace",
    "Tracker",
    "TrackerFault",
    "TracksError",
    "TracksFile",
    "UsageError",
    "__version__",
    "analyze",
    "make_detector",
    "make_method",
    "make_targets",
    "plan",
    "redact",
    "render",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'stream_anon' has no attribute '{name}'")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
