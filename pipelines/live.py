"""live: which parts one camera's frames go through.

Copy this file, change a part, and name it by its path under `pipeline:` in cameras.yaml. Reading,
encoding and sending are processes of their own; whatever is changed here, a frame reaches the
encoder only through the compositor.
"""

from stream_anon.config import Config
from stream_anon.detection.base import Detector
from stream_anon.detection.registry import make_detector
from stream_anon.methods import make_method
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.painting.gate import Compositor


def detector(config: Config) -> Detector:
    """Finds the faces of all cameras."""
    return make_detector(config.detector, config.models_dir)


def analyzer(config: Config, found_by: Detector) -> DetectAndTrack:
    """Says what is in one camera's frames."""
    return DetectAndTrack(found_by, config)


def compositor(config: Config) -> Compositor:
    """The gate of one camera, with the method that paints."""
    return Compositor(make_method(config.method), config.fault, models_dir=config.models_dir)
