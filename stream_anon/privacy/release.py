"""One release per track, drawn once and frozen.

What is frozen is the noisy *code*. Freezing the noise and adding it to the fresh code of
each frame would publish the differences of the codes exactly; drawing again for each frame
would let a viewer average the noise away. Both are tested against in
``tests/privacy/test_attacks.py``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import MappingProxyType

from stream_anon.errors import MethodFault
from stream_anon.privacy.contract import Code, Mechanism
from stream_anon.privacy.ledger import Ledger
from stream_anon.privacy.randomness import SecureRandom
from stream_anon.track_state import Part, TrackState


class ReleaseError(MethodFault):
    """A second release was asked for where only one may be made."""


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """What is released about one track: a code and what is promised about it.

    Holds neither the true code nor the noise nor a key; what is here may be seen by anybody.

    Attributes:
        mechanism: name of the mechanism.
        parameters: that fix its distribution.
        dimension: d.
        epsilon: of this release; None where the mechanism promises nothing.
        delta: of this release.
        code: (d,) float64 of norm 1, read-only.
    """

    mechanism: str
    parameters: MappingProxyType[str, float]
    dimension: int
    epsilon: float | None
    delta: float
    code: Code = field(repr=False)

    @classmethod
    def draw(cls, mechanism: Mechanism, code: Code | None, rng: SecureRandom) -> Release:
        """Spend the budget of ``mechanism`` once."""
        promised = mechanism.guarantee()
        return cls(
            mechanism=mechanism.name,
            parameters=MappingProxyType(mechanism.parameters()),
            dimension=mechanism.dimension,
            epsilon=promised.epsilon,
            delta=promised.delta,
            code=mechanism.release(code, rng),
        )


class Releases:
    """The releases of a run: one for each track, written into the ledger.

    A release is kept in its track's state and goes with it; the ledger keeps its line.

    Safe to share between threads. A track that has ended is never released again:
    the same number with a second draw would be a second release under the name of the first.

    Args:
        mechanism: used for every track.
        rng: where the randomness comes from; the operating system by default. Closed with this.
        ledger: to write to; a new one by default.
    """

    def __init__(
        self,
        mechanism: Mechanism,
        *,
        rng: SecureRandom | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.mechanism = mechanism
        self._record = mechanism.record()
        self.ledger = ledger if ledger is not None else Ledger()
        self._rng = rng if rng is not None else SecureRandom()
        self._held: Part[tuple[int, Release]] = Part(self._ended)
        self._lock = threading.Lock()

    def get(self, state: TrackState) -> Release | None:
        """The release of a track, or None while there is none. Spares the encoder's work."""
        with self._lock:
            held = self._held.get(state)
        return None if held is None else held[1]

    def of(
        self, state: TrackState, code: Code | None = None, *, time: float | None = None
    ) -> Release:
        """The release of a track: drawn from ``code`` the first time, the same one ever after.

        Args:
            state: of the track.
            code: (d,) true code; read only the first time. None for ``independent``.
            time: of the frame in seconds, for the ledger's first and last time.
        """
        track = state.track
        with self._lock:
            held = self._held.get(state)
            if held is None:
                if self.ledger.has(track):
                    raise ReleaseError(f"track {track} has ended: it is not released a second time")
                held = track, Release.draw(self.mechanism, code, self._rng)
                self.ledger.add(track, self._record, unsafe=self._rng.unsafe)
                self._held.put(state, held)
            self.ledger.seen(track, time)
            return held[1]

    def _ended(self, held: tuple[int, Release]) -> None:
        """A track's state is dropped, and its release with it. The ledger keeps its line."""
        with self._lock:
            self.ledger.end(held[0])

    def close(self) -> None:
        """The run has ended: drop the key. The ledger stays readable."""
        with self._lock:
            self._rng.close()
