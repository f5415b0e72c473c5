"""Attackers: any face recogniser that comes as an ONNX file, described by a small YAML."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream_anon.errors import ModelError
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.models.engine import Engine

Pixels = NDArray[np.uint8]
Embeddings = NDArray[np.float32]
"""(n, d) float32, unit rows."""

BATCH = 8
Triple = tuple[float, float, float]


class AttackerSpec(BaseModel):
    """How a recogniser wants to be shown a face; see ``configs/attackers``."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """How tables call it."""
    file: str
    """ONNX file, relative to the models folder or to the YAML."""
    input: str
    """Name of the network's input."""
    size: Annotated[int, Field(ge=16, le=512)] = 112
    """Side of the input in pixels."""
    window: tuple[float, float, float] = (8.0, 8.0, 112.0)
    """x, y and side of the square of the aligned face space (128 units) that is shown."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Order of the input's axes."""
    colours: Literal["RGB", "BGR"] = "RGB"
    """Order of the input's channels."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Subtracted, on the scale 0-255, in the order of ``colours``."""
    std: Triple = (1.0, 1.0, 1.0)
    """Divided by, on the scale 0-255, in the order of ``colours``."""
    dimension: Annotated[int, Field(ge=2)]
    """Length of the embedding."""
    training_saw_it: bool = False
    """It was a loss or a teacher of the networks under test, so its figures flatter them."""
    licence: str = ""
    """As its origin states it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        x, y, side = self.window
        if side <= 0 or x < 0 or y < 0 or max(x, y) + side > ALIGNED_SIDE:
            raise ValueError(
                f"window {self.window} does not lie in the aligned face space of {ALIGNED_SIDE}"
            )
        if min(abs(s) for s in self.std) < 1e-6:
            raise ValueError("std must not be 0")
        return self


class Recogniser:
    """A recogniser that is ready to name faces.

    Args:
        spec: how it wants to be shown a face.
        file: the ONNX file.
        threads: of the network.

    Raises:
        ModelError: the file is no network that fits the description.
    """

    def __init__(self, spec: AttackerSpec, file: str | Path, threads: int = 1) -> None:
        self.spec = spec
        self.name = spec.name
        self.file = Path(file)
        side = spec.size
        shape = (BATCH, 3, side, side) if spec.layout == "nchw" else (BATCH, side, side, 3)
        # f32: an attacker gets the exact arithmetic, whatever the processor would rather do.
        self._engine = Engine(file, {spec.input: shape}, precision="f32", threads=threads)
        digest = hashlib.sha256(Path(file).read_bytes())
        digest.update(spec.model_dump_json().encode())
        self.fingerprint = digest.hexdigest()[:24]
        probe = self._engine([np.zeros(shape, np.float32)])[0]
        if probe.reshape(BATCH, -1).shape[1] != spec.dimension:
            raise ModelError(
                f"{file}: the embedding has {probe.reshape(BATCH, -1).shape[1]} numbers, "
                f"the description of {spec.name} says {spec.dimension}"
            )

    def prepare(self, images: Pixels) -> NDArray[np.float32]:
        """Cut and scale (n, 128, 128, 3) uint8 RGB aligned face images to the network's input."""
        x, y, side = self.spec.window
        if (x, y, side) == (int(x), int(y), int(side)) and int(side) == self.spec.size:
            x, y, side = int(x), int(y), int(side)
            cut = images[:, y : y + side, x : x + side]
        else:
            scale = side / self.spec.size
            # Pixel centres lie at integer coordinates of the aligned face space.
            offset = 0.5 * scale - 0.5
            matrix = np.array([[scale, 0.0, x + offset], [0.0, scale, y + offset]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            target = (self.spec.size, self.spec.size)
            cut = np.stack([cv2.warpAffine(p, matrix, target, flags=flags) for p in images])
        return self.normalise(np.asarray(cut, np.uint8))

    def normalise(self, cut: Pixels) -> NDArray[np.float32]:
        """Pictures (n, size, size, 3) uint8 RGB as the network's input wants their numbers."""
        if self.spec.colours == "BGR":
            cut = cut[..., ::-1]
        mean, std = (np.array(v, np.float32) for v in (self.spec.mean, self.spec.std))
        ready = (cut.astype(np.float32) - mean) / std
        return ready.transpose(0, 3, 1, 2) if self.spec.layout == "nchw" else ready

    def embed(self, images: Pixels) -> Embeddings:
        """Unit embeddings.

        Args:
            images: (n, 128, 128, 3) uint8 RGB in the aligned face space.

        Returns:
            (n, d) float32. A network that answers with zeros or NaN for an image gets a zero
            row there: it is like nobody.
        """
        result = np.zeros((len(images), self.spec.dimension), np.float32)
        for start in range(0, len(images), BATCH):
            part = self.prepare(images[start : start + BATCH])
            full = np.zeros((BATCH, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            answer = self._engine([full])[0].reshape(BATCH, -1)[: len(part)]
            result[start : start + len(part)] = answer
        return unit_rows(result)


def unit_rows(vectors: NDArray[np.float32]) -> Embeddings:
    """Rows scaled to norm 1; rows that are zero or not finite become zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    good = np.isfinite(norms) & (norms > 1e-12)
    scaled = vectors / np.where(good, norms, 1.0)
    return np.where(good, scaled, 0.0).astype(np.float32)
