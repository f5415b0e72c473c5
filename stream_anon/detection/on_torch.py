"""The detectors with their networks in torch, on whichever device: the same weights and decoding.

f16 on a GPU unless another is asked for: its boxes lie within a tenth of a pixel of f32's, where
bf16 moves them by some tenths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from stream_anon.config import DetectorConfig
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.yunet import YuNet
from stream_anon.models.torch_engine import Colours, Precision, TorchImages


class _OnTorch(NetworkDetector):
    """What both share.

    Attributes:
        colours: the order of planes that the network wants.

    Args:
        config, models_dir: as of ``NetworkDetector``.
        device: torch's name of it.

    Raises:
        ModelError: weights, torch or onnx are missing; found out now, not at the first frame.
    """

    colours: ClassVar[Colours]

    def __init__(
        self, config: DetectorConfig, models_dir: Path | None = None, device: str = "cuda:0"
    ) -> None:
        super().__init__(config, models_dir)
        half: Precision = "bf16" if config.precision == "bf16" else "f16"
        cpu = device == "cpu"
        precision: Precision = "f32" if config.precision == "f32" or cpu else half
        self._images = TorchImages(self.path, device, precision, self.colours)

    def _engine(self, count: int, width: int, height: int) -> Any:
        """One engine for all sizes."""
        return self._images


class TorchCenterFace(_OnTorch, CenterFace):
    """``CenterFace`` in torch."""

    colours = "RGB"


class TorchYuNet(_OnTorch, YuNet):
    """``YuNet`` in torch."""

    colours = "BGR"
