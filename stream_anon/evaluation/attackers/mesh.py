"""An attacker that looks at geometry alone: coefficients of a dense mesh, shape and expression.

The mesh network reads 468 points off a picture. Brought onto the mean mesh by the least-squares
similarity in space (``mesh_measures.rigid``), what is left is taken apart by the morphable face's
components and weighed by how far people differ in each. Which hair, skin or light there is does
not count, so that it sees what recognisers look past: a jaw that was kept, a smile of one's own.

A head's direction is kept on purpose, and where people sit before one camera it alone may tell who
is who. What the attacker shows on clips is read beside that of the direction alone
(``configs/attackers/direction.yaml``), which no new face lowers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from stream_anon.alignment import mesh_measures, morphable
from stream_anon.alignment.mesh import NAME, FaceMesh
from stream_anon.evaluation.attackers.recogniser import Embeddings, unit_rows
from stream_anon.models import registry

Pixels = NDArray[np.uint8]

SHAPE = 0.5
"""Weight of the components of shape beside those of expression: the latter tell more of who it
is in a still (people differ in them by far more than in what is orthogonal to them). Chosen on
pictures that nothing is measured on."""


class MeshSpec(BaseModel):
    """What is read off the mesh; see ``configs/attackers/mesh.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["mesh"]
    """Tells it from a recogniser's description."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """How tables call it."""
    shape: Annotated[float, Field(ge=0.0, le=10.0)] = SHAPE
    """Weight of the 40 components of shape; 0 leaves them out."""
    expression: Annotated[float, Field(ge=0.0, le=10.0)] = 1.0
    """Weight of the 24 components of expression; 0 leaves them out."""
    direction: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """Weight of where the head looks, a unit vector: the control."""
    training_saw_it: bool = False
    """It was a loss or a teacher of the networks under test."""
    licence: str = ""
    """Of the network."""

    @property
    def dimension(self) -> int:
        """Length of the embedding."""
        model = morphable.load().model
        return len(model.identity_deviation) + len(model.expression_deviation) + 3


class MeshAttacker:
    """The attacker, ready to look; in tables and tests it stands for a recogniser.

    Args:
        spec: what is read off the mesh.
        models: folder looked in before the registry's own.
        threads: of the network.

    Raises:
        ModelError: the network or the morphable face is missing.
    """

    def __init__(self, spec: MeshSpec, models: Path | None = None, threads: int = 1) -> None:
        self.spec = spec
        self.name = spec.name
        self._mesh = FaceMesh(models, threads)
        self._model = morphable.load().model
        digest = hashlib.sha256(Path(registry.path(NAME, models)).read_bytes())
        digest.update(self._model.identity.tobytes() + self._model.expression.tobytes())
        digest.update(spec.model_dump_json().encode())
        self.fingerprint = digest.hexdigest()[:24]

    def embed(self, images: Pixels) -> Embeddings:
        """Unit rows of coefficients.

        Args:
            images: (n, s, s, 3) uint8 RGB in the aligned face space.

        Returns:
            (n, 67) float32. Whether the network believes in a face does not matter, an attacker
            takes what there is; where its points say nothing at all there is a zero row.
        """
        if not len(images):
            return np.zeros((0, self.spec.dimension), np.float32)
        spec = self.spec
        return coefficients(self._mesh(images)[0], spec.shape, spec.expression, spec.direction)


def coefficients(
    meshes: NDArray[np.floating],
    shape: float = SHAPE,
    expression: float = 1.0,
    direction: float = 0.0,
) -> Embeddings:
    """Coefficients of meshes, whatever their size and place, and their direction unless asked.

    Args:
        meshes: (n, 468, 3) in any unit.
        shape: weight of the components of shape.
        expression: likewise of expression.
        direction: of where the head looks, a unit vector.

    Returns:
        (n, 67) float32 unit rows, shape first, direction last; zero where a mesh's points coincide.
    """
    model = morphable.load().model
    points = np.asarray(meshes, np.float64)
    good = np.square(points - points.mean(axis=1, keepdims=True)).sum(axis=(1, 2)) > 1e-6
    width = len(model.identity) + len(model.expression) + 3
    found = np.zeros((len(points), width), np.float32)
    if not good.any():
        return found
    # The components are of meshes in aligned units about their own mean.
    mean = np.asarray(model.mean, np.float64)
    rotations, scales, shifts = mesh_measures.rigid(points[good], mean)
    turned = np.einsum("nki,nij->nkj", points[good] - shifts[:, None], rotations)
    away = (turned / np.maximum(scales, 1e-9)[:, None, None] - mean).reshape(len(turned), -1)
    found[good] = np.hstack(
        [
            shape * (away @ model.identity.T) / model.identity_deviation,
            expression * (away @ model.expression.T) / model.expression_deviation,
            # The face's own axis points at the camera.
            -direction * rotations[:, :, 2],
        ]
    )
    return unit_rows(found)
