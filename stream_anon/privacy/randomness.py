"""Random numbers nobody can predict, replay or seed by accident.

A key of 32 bytes from the operating system feeds SHAKE-256 (FIPS 202) as a keyed stream:
request number i is answered with SHAKE-256(key || purpose || i || label). A sponge with a
secret prefix of fixed length is a pseudorandom function, so without the key the stream
cannot be told from noise, and no request can be computed from the others.

There is no seed. The only way to fix a stream is the argument ``unsafe_seed``, which warns;
no configuration key reaches it. A key is never printed, pickled, copied or shared with a
forked process, and is overwritten by ``close()``. That is best effort: Python may have
copied the bytes, so ``close()`` shortens a key's life and proves nothing about memory.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import threading
import warnings
from types import TracebackType
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import StreamAnonError, UsageError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KEY_BYTES = 32

_STREAM, _SPAWN, _DERIVE, _SEED = b"\x00", b"\x01", b"\x02", b"\x03"


class RandomnessError(StreamAnonError):
    """A generator was used after it was closed, or in a process that did not make it."""


class UnsafeSeedWarning(UserWarning):
    """A generator was given a fixed seed: whoever knows it can undo what was drawn."""


class SecureRandom:
    """A keyed cryptographic generator of uniform, normal and integer numbers and permutations.

    Safe to share between threads; refused in a forked process, where two copies would
    give the same numbers (make one generator in each process).

    Args:
        unsafe_seed: None takes the key from the operating system. A number fixes the stream,
            for tests only: it warns, and whoever knows it can undo whatever was drawn.
    """

    __slots__ = ("_closed", "_key", "_lock", "_pid", "_requests", "_spawned", "_unsafe")

    def __init__(self, *, unsafe_seed: int | None = None) -> None:
        if unsafe_seed is None:
            key = bytearray(os.urandom(KEY_BYTES))
        else:
            warnings.warn(
                "unsafe_seed fixes the random stream: nothing drawn from it is private",
                UnsafeSeedWarning,
                stacklevel=2,
            )
            text = str(int(unsafe_seed)).encode()
            key = bytearray(hashlib.shake_256(_SEED + text).digest(KEY_BYTES))
        self._start(key, unsafe=unsafe_seed is not None)

    def _start(self, key: bytearray, *, unsafe: bool) -> None:
        self._key = key
        self._unsafe = unsafe
        self._requests = 0
        self._spawned = 0
        self._closed = False
        self._lock = threading.Lock()
        self._pid = os.getpid()

    # -- the stream ---------------------------------------------------------------------------

    def bytes(self, n: int) -> builtins.bytes:
        """``n`` fresh random bytes."""
        _check_count(n)
        with self._lock:
            number = self._requests
            self._requests += 1
            return self._block(_STREAM, number, b"", n)

    def _block(
        self, purpose: builtins.bytes, number: int, label: builtins.bytes, n: int
    ) -> builtins.bytes:
        if self._closed:
            raise RandomnessError("this generator is closed: its key is gone")
        if os.getpid() != self._pid:
            raise RandomnessError("a generator cannot be used in a forked process: make a new one")
        sponge = hashlib.shake_256(self._key)
        sponge.update(purpose + number.to_bytes(8, "big") + label)
        return sponge.digest(n)

    def _words(self, n: int) -> NDArray[np.uint64]:
        # Little-endian on every machine, so that a fixed seed gives the same test everywhere.
        return np.frombuffer(self.bytes(8 * n), dtype="<u8").astype(np.uint64, copy=False)

    # -- numbers ------------------------------------------------------------------------------

    def uniform(self, n: int) -> Floats:
        """``n`` numbers from the open interval (0, 1): the multiples of 2**-53, all equally likely.

        Zero is drawn again, so that a logarithm is always finite.
        """
        _check_count(n)
        top = self._words(n) >> np.uint64(11)
        while True:
            zero = np.flatnonzero(top == 0)
            if zero.size == 0:
                break
            top[zero] = self._words(zero.size) >> np.uint64(11)
        return top.astype(np.float64) * 2.0**-53

    def exponential(self, n: int) -> Floats:
        """``n`` numbers with density exp(-x) on x > 0, by inversion (at most 53 ln 2 = 36.7)."""
        return -np.log(self.uniform(n))

    def normal(self, n: int) -> Floats:
        """``n`` standard normal numbers by Box and Muller's transform.

        The radius stops at sqrt(2 * 53 ln 2) = 8.57, beyond which lies a mass of 1e-16.
        """
        half = (n + 1) // 2
        radius = np.sqrt(2.0 * self.exponential(half))
        angle = 2.0 * np.pi * self.uniform(half)
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:n]

    def integers(self, high: int, n: int) -> Integers:
        """``n`` integers from 0 to ``high`` - 1, exactly equally likely (by rejection)."""
        _check_count(n)
        if not 0 < high <= 2**63:
            raise UsageError(f"high must lie between 1 and 2**63, not {high}")
        # The largest multiple of high that fits: words above it would favour small residues.
        last = np.uint64((2**64 // high) * high - 1)
        words = self._words(n).copy()
        while True:
            above = np.flatnonzero(words > last)
            if above.size == 0:
                break
            words[above] = self._words(above.size)
        return (words % np.uint64(high)).astype(np.int64)

    def permutation(self, n: int) -> Integers:
        """A permutation of 0 .. ``n`` - 1; see ``permutations``."""
        order: Integers = self.permutations(1, n)[0]
        return order

    def permutations(self, count: int, n: int) -> Integers:
        """(``count``, ``n``): that many independent permutations of 0 .. ``n`` - 1.

        Each is the order of ``n`` random 64-bit keys. Given that all keys differ, every
        order is exactly equally likely; a row in which two are equal is drawn again.
        """
        _check_count(count)
        _check_count(n)
        orders = np.empty((count, n), dtype=np.int64)
        missing = np.arange(count)
        while missing.size:
            keys = self._words(missing.size * n).reshape(missing.size, n)
            order = np.argsort(keys, axis=1)
            ranked = np.take_along_axis(keys, order, axis=1)
            distinct = (ranked[:, 1:] != ranked[:, :-1]).all(axis=1)
            orders[missing[distinct]] = order[distinct]
            missing = missing[~distinct]
        return orders

    # -- other generators ---------------------------------------------------------------------

    def spawn(self, label: str) -> SecureRandom:
        """A new generator, independent of this one and of every other child.

        The same label twice gives two different children, so that two tracks which happen to
        carry one name never share their noise.
        """
        with self._lock:
            number = self._spawned
            self._spawned += 1
            return self._child(self._block(_SPAWN, number, label.encode(), KEY_BYTES))

    def derive(self, label: str) -> SecureRandom:
        """The generator that belongs to ``label``: the same label gives the same stream again.

        For something that has to be rebuilt rather than stored, such as the permutation of a
        track. Never for noise that is added to two different values.
        """
        with self._lock:
            return self._child(self._block(_DERIVE, 0, label.encode(), KEY_BYTES))

    def _child(self, key: builtins.bytes) -> SecureRandom:
        child = object.__new__(SecureRandom)
        child._start(bytearray(key), unsafe=self._unsafe)
        return child

    # -- the key's life -----------------------------------------------------------------------

    @property
    def unsafe(self) -> bool:
        """True where the stream goes back to an ``unsafe_seed``."""
        return self._unsafe

    @property
    def closed(self) -> bool:
        """True once the key is gone."""
        return self._closed

    def close(self) -> None:
        """Overwrite the key. Children made before go on; nothing more can be drawn from here."""
        with self._lock:
            self._key[:] = builtins.bytes(len(self._key))
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        source = "unsafe seed" if self._unsafe else "operating system"
        return f"<SecureRandom keyed by {source}{', closed' if self._closed else ''}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Also reached by copy.copy and copy.deepcopy: a copy would repeat the stream.
        raise TypeError("a SecureRandom is not pickled or copied: that would repeat its stream")


def _check_count(n: int) -> None:
    if n < 0:
        raise UsageError(f"a number of draws cannot be negative: {n}")
