"""Which detectors there are, and the one place that makes them."""

from __future__ import annotations

from pathlib import Path

from stream_anon.config import DetectorConfig
from stream_anon.detection.base import Detector, NetworkDetector
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.on_torch import TorchCenterFace, TorchYuNet
from stream_anon.detection.yunet import YuNet
from stream_anon.errors import ModelError


def make_detector(
    config: DetectorConfig, models_dir: Path | None = None, device: str = "cpu"
) -> Detector:
    """The detector that the configuration names.

    Args:
        config: which, and how it is run.
        models_dir: where networks are looked for first.
        device: ``cpu``, by OpenVINO, or what torch calls another.

    Raises:
        ModelError: its weights are missing, there is no such detector, or torch is missing.
    """
    known: dict[str, type[NetworkDetector]] = {kind.name: kind for kind in (CenterFace, YuNet)}
    if config.name not in known:
        raise ModelError(f"there is no detector '{config.name}'; there are {', '.join(known)}")
    if device != "cpu":
        return {"centerface": TorchCenterFace, "yunet": TorchYuNet}[config.name](
            config, models_dir, device
        )
    return known[config.name](config, models_dir)
