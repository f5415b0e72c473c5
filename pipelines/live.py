"""live: which parts one camera's frames go through.

Copy this file, change a part, and name it by its path under `pipeline:` in cameras.yaml. Reading,
encoding and sending are processes of their own; whatever is changed here, a frame reaches the
encoder only through the compositor.
"""

from stream_anon.config import Config
from stream_anon.detection.base import Detector
from stream_anon.detection.registry import make_detector
from stream_anon.device import choose
from stream_anon.media.input.info import MediaInfo
from stream_anon.methods.workplace import Workplace
from stream_anon.pipeline.analysis import Analyzer, DetectAndTrack
from stream_anon.pipeline.drawn import WithRegions
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.places import workplace
from stream_anon.pipeline.painting.targets import make_targets, other_methods


def place(config: Config) -> Workplace:
    """Where a camera's frames are painted and its networks run."""
    return workplace(choose(config.device))


def detector(config: Config) -> Detector:
    """Finds the faces of all cameras."""
    return make_detector(config.detector, config.models_dir, place(config).backend.device)


def build(config: Config, found_by: Detector, info: MediaInfo) -> tuple[Analyzer, Compositor]:
    """One camera's parts: what says what is in its frames, and the gate."""
    analyzer: Analyzer = DetectAndTrack(found_by, config, place(config).backend)
    if config.regions:
        analyzer = WithRegions(analyzer, config.regions, info)
    return analyzer, compositor(config)


def compositor(config: Config) -> Compositor:
    """The gate of one camera, with the methods that paint; a step of overload takes another."""
    where = place(config)
    return Compositor(
        make_targets(config, where), config.fault, others=other_methods(config, place=where),
        models_dir=config.models_dir, place=where,
    )  # fmt: skip
