"""A new identity that is no function of the old one: epsilon = 0 for the code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from stream_anon.privacy.contract import (
    NEIGHBOURS,
    RANDOMNESS,
    Code,
    Codes,
    Guarantee,
    Mechanism,
    Sampling,
)
from stream_anon.privacy.prior import Prior
from stream_anon.privacy.randomness import SecureRandom


@dataclass(frozen=True)
class Independent(Mechanism):
    """y ~ prior, whatever the true code is. The default.

    Density: the prior's; the code is never read. Sensitivity: none.
    Guarantee: epsilon = 0, delta = 0, for any number of tracks of one person, and in any
    arithmetic, because no step of the sampler sees the code.
    Source: post-processing of nothing; papers.md section 2 ("independent identity").
    Proof: ``docs/privacy/independent.md``.
    """

    name: ClassVar[str] = "independent"
    reads_code: ClassVar[bool] = False

    prior: Prior
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", self.prior.dimension)

    def guarantee(self) -> Guarantee:
        """Pure, epsilon 0."""
        return Guarantee(
            kind="pure",
            epsilon=0.0,
            delta=0.0,
            sensitivity=0.0,
            norm="none",
            assumptions=(
                NEIGHBOURS,
                "the prior was fixed without looking at the people in the video",
                RANDOMNESS,
            ),
        )

    def parameters(self) -> dict[str, float]:
        """None."""
        return {}

    def expected_cosine(self) -> float:
        """That of two independent draws of the prior (0 for the uniform one)."""
        return self.prior.mean_cosine()

    @property
    def sampling(self) -> Sampling:
        """Exact: independence does not depend on how well the prior is drawn."""
        return "exact"

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        return self.prior.draw(n, rng)
