"""The detectors with their networks in torch, on whichever device: the same weights and decoding.

f16 on a GPU unless another is asked for: its boxes lie within a tenth of a pixel of f32's, where
bf16 moves them by some tenths.

What lies on a device already is looked at there: by DLPack, without a copy in the host's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import DetectorConfig
from stream_anon.detection.base import View
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.yunet import YuNet
from stream_anon.errors import DetectorFault
from stream_anon.models.torch_engine import Colours, Precision, TorchImages


@lru_cache(maxsize=64)
def area_weights(before: int, after: int) -> NDArray[np.float32]:
    """How much of each sample lies in each larger one: (after, before), rows sum to 1."""
    edges = np.arange(after + 1) * (before / after)
    samples = np.arange(before)
    inside = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    weights = np.clip(inside, 0.0, None)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


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

    def _picture(self, view: View, quarter_turns: int, width: int, height: int) -> Any:
        """On the device, where the view lies there; see ``NetworkDetector``."""
        lend = getattr(view, "lend_thumbnail", None)
        if lend is None:
            return super()._picture(view, quarter_turns, width, height)
        import torch
        from torch.utils.dlpack import from_dlpack

        wide, high = (width, height) if quarter_turns % 2 == 0 else (height, width)
        pixels = lend(wide, high, from_dlpack)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape) != (high, wide, 3):
            raise DetectorFault(f"a thumbnail came as {tuple(pixels.shape)} {pixels.dtype}")
        return torch.rot90(pixels, quarter_turns, (0, 1)) if quarter_turns else pixels

    def _smaller(self, pixels: Any, width: int, height: int) -> Any:
        """Where they lie; as OpenCV's INTER_AREA, to a level."""
        if isinstance(pixels, np.ndarray):
            return super()._smaller(pixels, width, height)
        import torch

        rows, columns = (
            torch.from_numpy(area_weights(before, after)).to(pixels.device)
            for before, after in zip(pixels.shape[:2], (height, width), strict=True)
        )
        narrow = torch.einsum("hwc,xw->hxc", pixels.float(), columns)
        small = torch.einsum("hxc,yh->yxc", narrow, rows)
        return small.round().clamp(0.0, 255.0).to(torch.uint8)

    def _stacked(self, pictures: Sequence[Any]) -> Any:
        """Where they lie."""
        if isinstance(pictures[0], np.ndarray):
            return super()._stacked(pictures)
        import torch

        return torch.stack(list(pictures))

    def _engine(self, count: int, width: int, height: int) -> Any:
        """One engine for all sizes."""
        return self._images


class TorchCenterFace(_OnTorch, CenterFace):
    """``CenterFace`` in torch."""

    colours = "RGB"


class TorchYuNet(_OnTorch, YuNet):
    """``YuNet`` in torch."""

    colours = "BGR"
