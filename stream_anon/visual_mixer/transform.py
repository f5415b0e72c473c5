"""``VisualMixer`` as a ``torchvision.transforms.v2`` transform, or a module without torchvision.

torchvision's wheel is built against torch with CUDA and does not import beside a torch for the
CPU: the schemas of its compiled operators are missing ("operator torchvision::nms does not
exist"). Only where the plain import fails so, the four schemas it asks for are declared and the
import repeated; transforms then work, operators such as NMS still do not. Where torchvision is
not installed at all, the class is a plain ``torch.nn.Module`` that takes tensors.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

try:
    import torch
except ImportError as missing:
    raise ImportError(
        "stream_anon.visual_mixer needs torch: install the extra 'train'"
    ) from missing

from stream_anon.kernels.chacha import KEY_BYTES
from stream_anon.visual_mixer import mix as twin
from stream_anon.visual_mixer.batch import BatchMixer
from stream_anon.visual_mixer.torch_kernels import TorchModule

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qroi_align(Tensor i, Tensor r, float s, int h, int w, int n, bool a) -> Tensor",
    "roi_align(Tensor i, Tensor r, float s, SymInt h, SymInt w, int n, bool a) -> Tensor",
)

_declared: list[Any] = []


def torchvision_v2() -> ModuleType | None:
    """``torchvision.transforms.v2``, or None where it is not installed or cannot be imported."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        from torchvision.transforms import v2
    except (ImportError, RuntimeError, OSError):
        _forget_torchvision()
        try:
            _declare()
            from torchvision.transforms import v2
        except (ImportError, RuntimeError, OSError):
            _forget_torchvision()
            return None
    module: ModuleType = v2
    return module


def _declare() -> None:
    if not _declared:
        library: Any = torch.library.Library(  # type: ignore[no-untyped-call]
            "torchvision", "DEF"
        )
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)


def _forget_torchvision() -> None:
    """A half-imported package would be handed out by the next import as if it were whole."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


_V2 = torchvision_v2()
Base: Any = torch.nn.Module if _V2 is None else _V2.Transform


class VisualMixer(Base):  # type: ignore[misc, unused-ignore]
    """Shuffle images up to a Visual Feature Entropy, each with a key of its own.

    Keys come from the operating system for every image: a DataLoader's workers never share
    one, ``torch.manual_seed`` has no influence, and nothing can be replayed. Images are not
    changed in place. Put it before a conversion to float, and after whatever moves pixels
    between windows (crops, rotations, scaling), or on the finished batch.

    One image on the CPU is mixed by NumPy; a batch on another device there, by torch. The
    frames of a ``tv_tensors.Video`` share the permutation of the first.

    Args:
        vfe: target, None shuffles fully.
        region: side of a region, None by the image's size.
        smallest: smallest window, None half a region's side.
        channels: greatest share of pixels whose channels are drawn anew.

    Raises:
        ValueError: a parameter is out of range.
    """

    def __init__(
        self,
        vfe: float | None = twin.DEFAULT_VFE,
        region: int | None = None,
        smallest: int | None = None,
        channels: float = 1.0,
    ) -> None:
        super().__init__()
        if vfe is not None:
            twin.goal_of(vfe)
        twin.share_of(channels)
        self.vfe, self.region, self.smallest, self.channels = vfe, region, smallest, channels
        if _V2 is not None:
            from torchvision import tv_tensors
            from torchvision.transforms.v2._utils import is_pure_tensor

            self._video: tuple[type, ...] = (tv_tensors.Video,)
            # Boxes and masks are tensors too; they stay as they are.
            self._transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video, _pil())
        else:
            self._video = ()

    def extra_repr(self) -> str:
        """The parameters."""
        sizes = f"region={self.region}, smallest={self.smallest}"
        return f"vfe={self.vfe}, {sizes}, channels={self.channels}"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """What torchvision calls for every image of a sample."""
        return self.mix(inpt)

    if _V2 is None:

        def forward(self, images: Any) -> Any:
            """Mix a tensor; see ``mix``."""
            return self.mix(images)

    def mix(self, images: Any) -> Any:
        """Mix one image or a batch.

        Args:
            images: (..., 3, h, w) uint8 tensor on any device, or a PIL image.

        Returns:
            The same type, shape and device.

        Raises:
            TypeError: not uint8, or no three channels.
        """
        if not isinstance(images, torch.Tensor):
            return self._pil(images)
        if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-3] != 3:
            raise TypeError(
                "VisualMixer takes (..., 3, h, w) uint8 images (put it before a conversion to "
                f"float), not {tuple(images.shape)} {images.dtype}"
            )
        plain = images.detach().as_subclass(torch.Tensor)
        last = plain.movedim(-3, -1)
        batch = last.reshape(-1, *last.shape[-3:])
        if isinstance(images, self._video):
            mixed = self._one_permutation(batch)
        elif plain.device.type == "cpu":
            mixed = torch.from_numpy(np.stack([self._one(p).image for p in batch.numpy()]))
        else:
            mixed = self.on_device(batch)
        result = mixed.to(plain.device).reshape(last.shape).movedim(-1, -3).contiguous()
        if type(images) is torch.Tensor:
            return result
        from torchvision import tv_tensors

        return tv_tensors.wrap(result, like=images)

    def on_device(self, batch: Any) -> Any:
        """A (b, h, w, 3) uint8 batch, mixed by torch where it lies; the same bits as one by one."""
        keys = [os.urandom(KEY_BYTES) for _ in range(len(batch))]
        return self.on_device_with(batch, keys)

    def on_device_with(self, batch: Any, keys: list[bytes]) -> Any:
        """``on_device`` with given keys, for tests."""
        mixer = BatchMixer(TorchModule(batch.device))
        return mixer.mix(
            batch,
            keys,
            self.vfe,
            region=self.region,
            smallest=self.smallest,
            channels=self.channels,
        ).images

    def _one(self, source_image: Any) -> twin.Mixed:
        return twin.mix(
            np.ascontiguousarray(source_image),
            os.urandom(KEY_BYTES),
            self.vfe,
            region=self.region,
            smallest=self.smallest,
            channels=self.channels,
        )

    def _one_permutation(self, frames: Any) -> Any:
        index = torch.from_numpy(self._one(frames[0].cpu().numpy()).index).long().to(frames.device)
        return frames.reshape(len(frames), -1)[:, index].reshape(frames.shape)

    def _pil(self, source_image: Any) -> Any:
        if not isinstance(source_image, _pil()):
            raise TypeError(
                f"VisualMixer takes a uint8 tensor or a PIL image, not {type(source_image)}"
            )
        image: Any = importlib.import_module("PIL.Image")
        return image.fromarray(self._one(np.asarray(source_image.convert("RGB"))).image)


def _pil() -> type[Any]:
    """PIL's class of images; without PIL, the type that no image has."""
    if importlib.util.find_spec("PIL") is None:
        return type(None)
    kind: type[Any] = importlib.import_module("PIL.Image").Image
    return kind
