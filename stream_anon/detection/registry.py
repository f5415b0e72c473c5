"""Which detectors there are, and the one place that makes them."""

from __future__ import annotations

from pathlib import Path

from stream_anon import plugins
from stream_anon.config import DetectorConfig, DetectorSection
from stream_anon.detection.base import Detector
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.on_torch import TorchCenterFace, TorchYuNet
from stream_anon.detection.yunet import YuNet
from stream_anon.errors import ConfigError, ModelError, StreamAnonError


def make_detector(
    config: DetectorSection, models_dir: Path | None = None, device: str = "cpu"
) -> Detector:
    """The detector that the configuration names.

    Args:
        config: the section of a detector of ours, or of a plug-in's.
        models_dir: where weights are looked for first.
        device: ``cpu``, by OpenVINO, or what torch calls another; a plug-in knows of none.

    Raises:
        ConfigError: it is that of a plug-in that is broken.
        ModelError: its weights are missing, there is no such detector, or torch is missing.
    """
    if not isinstance(config, DetectorConfig):
        return _of_a_plugin(config, models_dir)
    known: dict[str, type[NetworkDetector]] = {kind.name: kind for kind in (CenterFace, YuNet)}
    if config.name not in known:
        raise ModelError(f"there is no detector '{config.name}'; there are {', '.join(known)}")
    if device != "cpu":
        return {"centerface": TorchCenterFace, "yunet": TorchYuNet}[config.name](
            config, models_dir, device
        )
    return known[config.name](config, models_dir)


def _of_a_plugin(config: DetectorSection, models_dir: Path | None) -> Detector:
    kind = plugins.load_class("detector", config.name, Detector, DetectorSection)
    if kind is None:
        raise ModelError(str(plugins.unknown("detector", config.name, ("centerface", "yunet"))))
    try:
        made: Detector = kind(config, models_dir)
    except StreamAnonError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"detector '{config.name}' could not be made: {type(error).__name__}: {why}"
        ) from error
    return made
