"""DP-Image for video: noise on the appearance code of an autoencoder, once per track.

Xue et al., DP-Image, arXiv 2103.07073: noise is added to an image's feature vector, scaled to
distances in feature space. Here the code lies on the unit sphere, is released once per track
by the l2-Laplace mechanism (the distance-scaled form) and frozen; pose and expression come
from five landmarks and are not private, and the surroundings are disclosed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import MethodConfig
from stream_anon.methods.base import Pixels
from stream_anon.methods.generative.base import CodedMethod, Codes, mechanism_of
from stream_anon.methods.generative.networks import AppearanceAutoencoder, prior
from stream_anon.models.backend import OPENVINO, Backend
from stream_anon.privacy import GaussianPrior, SecureRandom

EPSILON = 8.0


class DPImage(CodedMethod):
    """An appearance code and landmarks to a face.

    Args:
        config: mechanism, epsilon, delta, smallest face.
        threads: of each network.
        random: where the randomness comes from; None makes one from the operating system.
        backend: runs the networks.

    Raises:
        ConfigError: the mechanism and its numbers do not fit together.
        ModelError: the weights are missing.
    """

    name: ClassVar[str] = "dp-image"

    def __init__(
        self,
        config: MethodConfig,
        threads: int = 1,
        random: SecureRandom | None = None,
        backend: Backend = OPENVINO,
    ) -> None:
        mean, root = (part.astype(np.float64) for part in prior("appearance_prior"))
        chosen = mechanism_of(config, "l2-laplace", EPSILON, GaussianPrior(mean, root))
        super().__init__(chosen, config.smallest, random)
        self._autoencoder = AppearanceAutoencoder(threads, backend=backend)

    def encode(self, crops: Pixels, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``CodedMethod.encode``; the code is of the whole crop, wherever the face is."""
        return self._autoencoder.encode(crops).astype(np.float64)

    def draw(
        self,
        crops: Pixels,
        landmarks: NDArray[np.float32],
        codes: Codes,
        drawings: Pixels | None = None,
    ) -> Pixels:
        """See ``CodedMethod.draw``."""
        return self._autoencoder.decode(codes, landmarks, crops)

    @property
    def mask(self) -> Pixels:
        """See ``CodedMethod.mask``."""
        return self._autoencoder.mask

    def networks(self) -> Sequence[str]:
        """See ``Method.networks``."""
        return ("appearance_encoder", "appearance_generator")
