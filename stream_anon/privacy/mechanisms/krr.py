"""k-ary randomised response over a public bank of synthetic identities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ConfigError
from stream_anon.privacy.contract import (
    NEIGHBOURS,
    RANDOMNESS,
    Code,
    Codes,
    Guarantee,
    Mechanism,
    Sampling,
    check_positive,
    unit_rows,
)
from stream_anon.privacy.randomness import SecureRandom

_TICKETS = 2**62


@dataclass(frozen=True, eq=False)
class RandomisedResponse(Mechanism):
    """The nearest codeword with probability e^eps / (e^eps + K - 1), else another one, uniformly.

    Density: P(i | z) as above, on K public codes. Sensitivity: none; the code only chooses
    which index is the likely one.
    Guarantee: pure epsilon, *exact*: the choice is an integer below a whole number of
    tickets, of which the nearest codeword holds ``truth_tickets`` and every other one
    ``other_tickets``, with truth / other <= e^eps in whole numbers. Nothing is rounded.
    Source: Warner 1965; Kairouz, Oh, Viswanath, "Extremal mechanisms for LDP" (JMLR 2016);
    papers.md section 2.
    Proof: ``docs/privacy/krr.md``.

    Args:
        bank: (K, d) unit rows, K >= 2, public and fixed before the video.
        epsilon: of one release. Above 42 the tickets do not suffice and 42 is what is drawn,
            which is more private than claimed.
    """

    name: ClassVar[str] = "krr"

    bank: Codes
    epsilon: float
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bank", unit_rows(self.bank, "bank"))
        check_positive("epsilon", self.epsilon)
        if not 2 <= self.size <= 2**20:
            raise ConfigError(f"a bank needs 2 to 2**20 codes, not {self.size}")
        object.__setattr__(self, "dimension", int(self.bank.shape[1]))

    @cached_property
    def tickets(self) -> tuple[int, int]:
        """(of the nearest codeword, of every other one); truth <= e^epsilon * other."""
        others = self.size - 1
        # e^42 > 2^60: beyond, every one of the others keeps a single ticket.
        odds = math.exp(min(self.epsilon, 42.0))
        other = max(1, int(_TICKETS / (odds + others)) - 1)
        # exp and the product are off by some units of 2^-53: stay below.
        return int(other * odds * (1.0 - 2.0**-50)), other

    @property
    def size(self) -> int:
        """K."""
        return int(self.bank.shape[0])

    @property
    def truth_probability(self) -> float:
        """Probability that the nearest codeword is released."""
        truth, other = self.tickets
        return truth / (truth + (self.size - 1) * other)

    def guarantee(self) -> Guarantee:
        """Pure epsilon, in integer arithmetic."""
        return Guarantee(
            kind="pure",
            epsilon=self.epsilon,
            delta=0.0,
            sensitivity=1.0,
            norm="index",
            assumptions=(NEIGHBOURS, "the bank is public and shows no real person", RANDOMNESS),
        )

    def parameters(self) -> dict[str, float]:
        """Size of the bank and the probability of the truth."""
        return {"bank": self.size, "truth_probability": self.truth_probability}

    def expected_cosine(self) -> float:
        """For a person whose code is itself in the bank; others are as far as their codeword."""
        size = self.size
        total = float(np.sum(self.bank.sum(axis=0) ** 2))
        other = (total - size) / (size * (size - 1))
        return self.truth_probability + (1.0 - self.truth_probability) * other

    @property
    def sampling(self) -> Sampling:
        """Exact."""
        return "exact"

    def nearest(self, code: Code) -> int:
        """Index of the codeword with the largest cosine (the first of several)."""
        return int(np.argmax(self.bank @ code))

    def indices(self, code: Code, n: int, rng: SecureRandom) -> NDArray[np.int64]:
        """(n,): released indices."""
        size = self.size
        truth, other = self.tickets
        ticket = rng.integers(truth + (size - 1) * other, n)
        nearest = self.nearest(code)
        # Ticket truth + i * other + j belongs to the i-th codeword that is not the nearest.
        rank = (ticket - truth) // other
        rank += rank >= nearest
        drawn: NDArray[np.int64] = np.where(ticket < truth, nearest, rank)
        return drawn

    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        rows: Codes = self.bank[self.indices(code, n, rng)]
        return rows
