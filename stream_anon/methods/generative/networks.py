"""The networks of `identity` (IdentityDP) and `dp-image` (DP-Image) at run time.

NumPy in, NumPy out, OpenVINO or torch in between. Images are crops in the aligned face space
(`stream_anon.methods.generative.bottleneck`); codes are unit vectors. Nothing here draws
random numbers by itself: whoever asks for prior codes brings the generator.

The inside of a face reaches a generator only through `bottleneck.conceal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.errors import ModelError
from stream_anon.methods.generative import bottleneck
from stream_anon.models import WEIGHTS, engine
from stream_anon.models.backend import OPENVINO, Backend


class NormalSource(Protocol):
    """The one method that drawing codes needs of a source of randomness."""

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Independent standard normal numbers of this shape."""


PIXELS = ((127.5,) * 3, (127.5,) * 3)
"""Mean and scale that bring bytes to [-1, 1]."""

CONTEXT = ((127.5, 127.5, 127.5, 0.0), (127.5, 127.5, 127.5, 255.0))
"""Likewise for `bottleneck.conceal`, whose last channel becomes 0 or 1."""


class _Net:
    """A compiled network with one output.

    Args:
        name: of its files.
        threads: CPU threads.
        precision: of its arithmetic.
        images: see `engine.compile_bytes`.
        bytes_out: likewise.
        backend: runs it.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        precision: engine.Precision,
        images: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
        *,
        bytes_out: bool = False,
        backend: Backend = OPENVINO,
    ) -> None:
        path = WEIGHTS / f"{name}.onnx"
        if not path.exists() or not path.with_suffix(".safetensors").exists():
            msg = f"the weights of {name} are missing from {WEIGHTS}"
            raise ModelError(msg)
        self._run = backend.bytes(path, threads, precision, images or {}, bytes_out=bytes_out)

    def __call__(self, **inputs: NDArray[Any]) -> NDArray[Any]:
        return self._run(inputs)


def _check_crops(crops: NDArray[np.uint8]) -> None:
    side = bottleneck.SIZE
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (side, side, 3):
        msg = f"crops must be uint8 (n,{side},{side},3), got {crops.dtype} {crops.shape}"
        raise ValueError(msg)


def _check_rows(name: str, rows: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if rows.shape != shape or not np.isfinite(rows).all():
        msg = f"{name} must be finite with shape {shape}, got {rows.shape}"
        raise ValueError(msg)


def _unit(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.asarray(codes / np.maximum(norm, 1e-12), np.float32)


@cache
def prior(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A public prior over codes: x = mean + root @ g with g standard normal, to unit norm.

    Args:
        name: ``identity_prior`` or ``appearance_prior``.

    Returns:
        mean (d,) and root (d,d), float32.

    Raises:
        ModelError: It is not installed.
    """
    path = WEIGHTS / f"{name}.npz"
    if not path.exists():
        msg = f"the public prior {name} is missing from {WEIGHTS}"
        raise ModelError(msg)
    with np.load(path) as stored:
        return stored["mean"].astype(np.float32), stored["root"].astype(np.float32)


def _draw(name: str, count: int, rng: NormalSource) -> NDArray[np.float32]:
    mean, root = prior(name)
    noise = np.asarray(rng.standard_normal((count, len(mean))), np.float32)
    return _unit(mean + noise @ root.T)


def prior_codes(count: int, rng: NormalSource) -> NDArray[np.float32]:
    """Identities of nobody: draws from the public prior over identity codes.

    A Gaussian fitted to the teacher's codes of training images in its widest
    directions, brought to unit norm. It is not a function of any face that is anonymised.

    Args:
        count: How many.
        rng: Whose ``standard_normal`` is used.

    Returns:
        float32 (count,128), unit norm.

    Raises:
        ModelError: The prior is not installed.
    """
    return _draw("identity_prior", count, rng)


def appearance_prior_codes(count: int, rng: NormalSource) -> NDArray[np.float32]:
    """As `prior_codes`, for the appearance codes of `dp-image`: float32 (count,64)."""
    return _draw("appearance_prior", count, rng)


def aligned(crops: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Crops (n,128,128,3) of any crop to the plain alignment, by landmarks (n,5,2) in them.

    Raises:
        ValueError: Landmarks coincide or are not finite.
    """
    out = np.empty_like(crops)
    side = (bottleneck.SIZE, bottleneck.SIZE)
    for i, (crop, points) in enumerate(zip(crops, landmarks, strict=True)):
        matrix = geometry.similarity(points.astype(np.float64))
        out[i] = cv2.warpAffine(crop, matrix, side, borderMode=cv2.BORDER_REPLICATE)
    return out


class IdentityEncoder:
    """Face to identity code.

    Args:
        threads: CPU threads.
        precision: ``bf16``, ``f32`` or ``auto`` (what the processor does best).
        backend: runs the network.
    """

    name = "identity_encoder"
    dimension = 128

    def __init__(
        self, threads: int = 1, precision: engine.Precision = "auto", backend: Backend = OPENVINO
    ) -> None:
        self._net = _Net(self.name, threads, precision, {"pictures": PIXELS}, backend=backend)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Codes of faces.

        Args:
            crops: uint8 RGB (n,128,128,3), aligned to the template (see `aligned`).

        Returns:
            float32 (n,d), unit norm.

        Raises:
            ValueError: Wrong shape or dtype.
        """
        _check_crops(crops)
        if not len(crops):
            return np.zeros((0, self.dimension), np.float32)
        return _unit(self._net(pictures=np.ascontiguousarray(crops)))


class AppearanceEncoder(IdentityEncoder):
    """Face to the appearance code of `dp-image`: float32 (n,64)."""

    name = "appearance_encoder"
    dimension = 64


class IdentityGenerator:
    """Context, landmarks and an identity code to a face.

    Args:
        threads: CPU threads.
        precision: ``bf16``, ``f32`` or ``auto`` (what the processor does best).
        backend: runs the network.
    """

    name = "identity_generator"
    dimension = 128
    keep_colour = True
    painted = True
    """Whether it may be given a face that is painted already."""

    def __init__(
        self, threads: int = 1, precision: engine.Precision = "auto", backend: Backend = OPENVINO
    ) -> None:
        images = {"context": CONTEXT}
        if self.painted:
            images["drawing"] = CONTEXT
        self._net = _Net(self.name, threads, precision, images, bytes_out=True, backend=backend)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """The mask the faces are meant to be pasted with: uint8 (128,128), read only."""
        return bottleneck.paint_mask()

    def __call__(
        self,
        crops: NDArray[np.uint8],
        landmarks: NDArray[np.float32],
        codes: NDArray[np.float32],
        valid: NDArray[np.bool_] | None = None,
        drawings: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Draw new faces.

        Of the inside of the minimum mask only the plane through a 4x4 grid of
        average colours (nothing in `dp-image`) and the landmarks have any influence, and what
        was painted.

        Args:
            crops: uint8 RGB (n,128,128,3) in the aligned face space.
            landmarks: float32 (n,5,2), aligned units.
            codes: float32 (n,d), unit norm.
            valid: bool (n,128,128), False where a crop reaches beyond the image.
            drawings: uint8 (n,128,128,4), faces to start from, RGB and how far each pixel is
                painted; None starts from nothing.

        Returns:
            uint8 RGB (n,128,128,3); to be pasted with `mask`.

        Raises:
            ValueError: Wrong shape, or numbers that are not finite.
        """
        _check_crops(crops)
        count = len(crops)
        _check_rows("landmarks", landmarks, (count, 5, 2))
        _check_rows("codes", codes, (count, self.dimension))
        if not count:
            return crops.copy()
        places = np.asarray(landmarks, np.float32)
        context, colours = bottleneck.conceal(crops, valid, keep_colour=self.keep_colour)
        told: dict[str, NDArray[Any]] = {
            "context": context,
            "maps": bottleneck.heatmaps(places),
            "hints": bottleneck.hints(colours, places),
            "place": bottleneck.place(places),
            "code": _unit(codes),
        }
        if self.painted:
            told["drawing"] = np.zeros_like(context) if drawings is None else drawings
        return self._net(**told)


class AppearanceGenerator(IdentityGenerator):
    """Context, landmarks and an appearance code to a face, for `dp-image`.

    It is told no colour of the inside: everything inside comes from the code
    and the landmarks, and the surroundings are disclosed.
    """

    name = "appearance_generator"
    dimension = 64
    keep_colour = False
    painted = False


class AppearanceAutoencoder:
    """The two halves of `dp-image`.

    Args:
        threads: CPU threads.
        precision, backend: As for `IdentityGenerator`.
    """

    dimension = AppearanceEncoder.dimension

    def __init__(
        self, threads: int = 1, precision: engine.Precision = "auto", backend: Backend = OPENVINO
    ) -> None:
        self._encoder = AppearanceEncoder(threads, precision, backend)
        self._generator = AppearanceGenerator(threads, precision, backend)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """As `IdentityGenerator.mask`."""
        return self._generator.mask

    def encode(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 (n,128,128,3) to unit appearance codes float32 (n,64)."""
        return self._encoder(crops)

    def decode(
        self,
        codes: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        crops: NDArray[np.uint8],
        valid: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.uint8]:
        """Draw the faces of codes (n,64) into the surroundings of ``crops``.

        Pose and expression come from ``landmarks`` and are not private.
        Arguments and errors as for `IdentityGenerator.__call__`.
        """
        return self._generator(crops, landmarks, codes, valid)
