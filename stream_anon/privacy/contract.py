"""What every mechanism is, and what it promises: ``Mechanism`` and ``Guarantee``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import ConfigError, MethodFault
from stream_anon.privacy.randomness import SecureRandom

Code = NDArray[np.float64]
"""An identity code: (d,) float64 of Euclidean norm 1."""

Codes = NDArray[np.float64]
"""(n, d) float64: several codes, one a row."""

Kind = Literal["pure", "approximate", "none"]
"""``pure``: epsilon-local-DP. ``approximate``: (epsilon, delta). ``none``: no guarantee at all."""

Norm = Literal["l1", "l2", "angle", "index", "none"]

NEIGHBOURS = (
    "neighbours: the code of one track replaced by any other unit vector (local model, per track)"
)
IDEALISED = (
    "the analysis assumes sampling of ideal real numbers: the float64 code must not be published, "
    "only 8-bit frames made from it"
)
GRID = (
    "noise is drawn exactly: opendp samples the discrete distribution on the multiples of 2**-100 "
    "with rational arithmetic"
)
RANDOMNESS = "the generator's key is secret and uniform (operating system entropy, SHAKE-256)"
OPENDP_RANDOMNESS = "opendp's own cryptographic generator is secret and uniform"

Sampling = Literal["exact", "opendp grid", "idealised"]
"""On what a guarantee rests in floating point. ``exact``: whole numbers only. ``opendp grid``:
exact noise on a fixed grid. ``idealised``: see ``IDEALISED``."""

MINIMUM_DIMENSION = 3


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What is promised about the released code of one track; nothing about the frame.

    Attributes:
        kind: see ``Kind``.
        epsilon: of one release; None where nothing is promised.
        delta: of one release; 0 for a pure guarantee.
        sensitivity: largest distance between two codes in ``norm``; for the norm "index" a
            code chooses one of several codewords and the distance has no scale (1).
        norm: in which the sensitivity is measured.
        assumptions: under which the statement holds, each one sentence.
        metric: the distance-dependent form of the guarantee, where the mechanism has one.
    """

    kind: Kind
    epsilon: float | None
    delta: float
    sensitivity: float
    norm: Norm
    assumptions: tuple[str, ...]
    metric: str | None = None


class MechanismRecord(TypedDict):
    """A mechanism as it stands in the ledger: all that its accounting needs, and no secret."""

    name: str
    dimension: int
    kind: Kind
    epsilon: float | None
    delta: float
    sensitivity: float
    norm: Norm
    metric: str | None
    parameters: dict[str, float]
    sampling: Sampling
    expected_cosine: float
    assumptions: list[str]


class Mechanism(ABC):
    """A way to release a unit code. Immutable; knows parameters, never a code, key or noise."""

    name: ClassVar[str]
    reads_code: ClassVar[bool] = True
    """False where the release is no function of the code, which may then be None."""

    dimension: int

    @abstractmethod
    def guarantee(self) -> Guarantee:
        """What one release promises."""

    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """The numbers that fix the distribution, by the names of the literature."""

    @abstractmethod
    def expected_cosine(self) -> float:
        """Mean cosine between the released and the true code."""

    @abstractmethod
    def _sample(self, code: Code, n: int, rng: SecureRandom) -> Codes:
        """``n`` independent draws for one code, before normalisation. For audits when n > 1."""

    @property
    def sampling(self) -> Sampling:
        """On what the guarantee rests in floating point."""
        return "idealised"

    def release(self, code: Code | None, rng: SecureRandom) -> Code:
        """One fresh draw: a unit code, read-only.

        Every call spends the whole budget again. A track calls it once and keeps the result
        (``Releases`` sees to that).

        Args:
            code: (d,) of unit norm to within 1e-3; normalised here, so that the sensitivity
                holds whatever the encoder did. None only where ``reads_code`` is False.
            rng: where the randomness comes from.
        """
        if self.reads_code:
            if code is None:
                raise MethodFault(f"mechanism {self.name} needs an identity code")
            code = unit(code, self.dimension)
        else:
            code = np.zeros(self.dimension)
        return self._normalised(self._sample(code, 1, rng)[0])

    def _normalised(self, draw: Code) -> Code:
        norm = float(np.linalg.norm(draw))
        if not (np.isfinite(norm) and norm > 0.0):
            raise MethodFault(f"mechanism {self.name} drew a vector that has no direction")
        released: Code = draw / norm
        released.setflags(write=False)
        return released

    def record(self) -> MechanismRecord:
        """The mechanism as the ledger keeps it."""
        promised = self.guarantee()
        return MechanismRecord(
            name=self.name,
            dimension=self.dimension,
            kind=promised.kind,
            epsilon=promised.epsilon,
            delta=promised.delta,
            sensitivity=promised.sensitivity,
            norm=promised.norm,
            metric=promised.metric,
            parameters=self.parameters(),
            sampling=self.sampling,
            expected_cosine=self.expected_cosine(),
            assumptions=list(promised.assumptions),
        )


def unit(code: Code, dimension: int, *, tolerance: float = 1e-3) -> Code:
    """``code`` as float64, checked and normalised exactly; a wrong one is a ``MethodFault``."""
    vector = np.asarray(code, dtype=np.float64)
    if vector.shape != (dimension,):
        raise MethodFault(f"an identity code must have shape ({dimension},), not {vector.shape}")
    norm = float(np.linalg.norm(vector))
    # Written so that a NaN fails it.
    if not abs(norm - 1.0) <= tolerance:
        raise MethodFault("an identity code must have norm 1")
    return vector / norm


def unit_rows(codes: Codes, what: str) -> Codes:
    """Rows of a public bank or basis as unit float64, checked; a wrong one is a ``ConfigError``."""
    rows = np.array(codes, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] < MINIMUM_DIMENSION:
        raise ConfigError(f"{what} must be a table (codes, dimension), not {rows.shape}")
    norms = np.linalg.norm(rows, axis=1)
    if not (np.abs(norms - 1.0) <= 1e-3).all():
        raise ConfigError(f"every row of {what} must have norm 1")
    rows /= norms[:, None]
    rows.setflags(write=False)
    return rows


def check_dimension(dimension: int) -> None:
    """A sphere with room for a direction and its complement."""
    if isinstance(dimension, bool) or not isinstance(dimension, int):
        raise ConfigError(f"dimension must be a whole number, not {dimension!r}")
    if dimension < MINIMUM_DIMENSION:
        raise ConfigError(f"dimension must be at least {MINIMUM_DIMENSION}, not {dimension}")


def check_positive(name: str, value: float) -> None:
    """Finite and above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, not {value!r}")
    if not (0.0 < value < float("inf")):
        raise ConfigError(f"{name} must be finite and above 0, not {value}")


def check_delta(delta: float) -> None:
    """A probability strictly between 0 and 1."""
    check_positive("delta", delta)
    if delta >= 1.0:
        raise ConfigError(f"delta must lie between 0 and 1, not {delta}")
