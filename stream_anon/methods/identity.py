"""IdentityDP for video: a new, stable, natural face, drawn from a code released once per track.

Wen et al., IdentityDP, Neurocomputing 501 (2022): disentangle a face into an identity code and
attributes, perturb the code, rebuild the face. Here the code is released once for a whole
track and frozen; by default it is an independent draw from a public prior, so that it says
nothing of the person at all (epsilon 0 for the code). What the generator is told of the
attributes - landmarks, 4x4 colours, the surroundings - is outside that statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import MethodConfig
from stream_anon.errors import MethodFault
from stream_anon.methods.base import Pixels
from stream_anon.methods.generative.base import CodedMethod, Codes, mechanism_of
from stream_anon.methods.generative.networks import (
    IdentityEncoder,
    IdentityGenerator,
    aligned,
    prior,
)
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.privacy import GaussianPrior, SecureRandom


class Identity(CodedMethod):
    """An identity code and attributes to a face.

    Args:
        config: mechanism, epsilon, delta, smallest face.
        threads: of each network.
        random: where the randomness comes from; None makes one from the operating system.
        backend: runs the networks.

    Raises:
        ConfigError: the mechanism and its numbers do not fit together.
        ModelError: the weights are missing.
    """

    name: ClassVar[str] = "identity"

    def __init__(
        self,
        config: MethodConfig,
        threads: int = 1,
        random: SecureRandom | None = None,
        backend: Backend = OPENVINO,
    ) -> None:
        mean, root = (part.astype(np.float64) for part in prior("identity_prior"))
        chosen = mechanism_of(config, "independent", 0.0, GaussianPrior(mean, root))
        super().__init__(chosen, config.smallest, random, config.mesh)
        self._generator = IdentityGenerator(threads, backend=backend)
        self._encoder = IdentityEncoder(threads, backend=backend) if chosen.reads_code else None

    def encode(self, crops: Pixels, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``CodedMethod.encode``."""
        if self._encoder is None:
            raise MethodFault("a mechanism that reads no code asked for one")
        return self._encoder(aligned(crops, landmarks)).astype(np.float64)

    def draw(
        self,
        crops: Pixels,
        landmarks: NDArray[np.float32],
        codes: Codes,
        drawings: Pixels | None = None,
    ) -> Pixels:
        """See ``CodedMethod.draw``."""
        return self._generator(crops, landmarks, codes, drawings=drawings)

    @property
    def mask(self) -> Pixels:
        """See ``CodedMethod.mask``."""
        return self._generator.mask

    def networks(self) -> Sequence[str]:
        """See ``Method.networks``."""
        used = [self._generator.name]
        return used if self._encoder is None else [*used, self._encoder.name]
