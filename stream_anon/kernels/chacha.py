"""ChaCha20 (RFC 8439) as a stream of words, many blocks at a time in NumPy.

Why this generator: shuffling a 224 px image takes 50,176 random words. The stream must be
cryptographic, since whoever predicts it undoes the shuffle; it must be addressable by pixel, so
that a thousand GPU threads can each compute their own words; and it must come out the same in
NumPy, in CUDA and in torch. ChaCha20 is all three: 32-bit additions, rotations and exclusive-ors,
one block per counter value. A general-purpose generator (PCG, Philox, Mersenne Twister) is the
second and the third, never the first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

KEY_BYTES = 32
BLOCK_WORDS = 16
CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
"""``expand 32-byte k`` in little-endian words."""

PUBLIC_KEY = bytes(KEY_BYTES)
"""The all-zero key: for numbers that are published anyway, such as where VFE is sampled."""


def key_words(key: bytes) -> Words:
    """The key's eight little-endian words.

    Raises:
        ValueError: the key is not 32 bytes long.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a ChaCha20 key has {KEY_BYTES} bytes, not {len(key)}")
    return np.frombuffer(key, dtype="<u4").astype(np.uint32)


def keystream(
    key: bytes, count: int, *, counter: int = 0, nonce: tuple[int, int, int] = (0, 0, 0)
) -> Words:
    """The first ``count`` words of the key's stream.

    Args:
        key: 32 bytes, used for one image or one track and never again.
        count: words, at most 2**32 * 16.
        counter: number of the first block.
        nonce: three words; zero here, because no key is used twice.

    Returns:
        (count,) uint32, in the order of RFC 8439's serialised blocks.

    Raises:
        ValueError: the key has the wrong length, or the block counter would wrap.
    """
    blocks = -(-count // BLOCK_WORDS)
    if count < 0 or not 0 <= counter <= 2**32 - max(blocks, 1):
        raise ValueError(f"cannot draw {count} words from block {counter} on")
    start = np.empty((4, 4, blocks), np.uint32)
    start[0] = np.array(CONSTANTS, np.uint32)[:, None]
    start[1:3] = key_words(key).reshape(2, 4, 1)
    start[3, 0] = np.arange(counter, counter + blocks, dtype=np.uint64).astype(np.uint32)
    start[3, 1:] = np.array(nonce, np.uint32)[:, None]
    return np.ascontiguousarray(_permute(start).reshape(BLOCK_WORDS, blocks).T).ravel()[:count]


def _permute(start: Words) -> Words:
    """Twenty rounds on (4, 4, n) states, plus the start.

    The rows of the diagonal rounds are rotated. Each row is kept in a buffer with room to
    repeat what wraps round, so that the rotated row is a view and not a copy.
    """
    a = start[0].copy()
    b, c, d = (np.empty((4 + extra, a.shape[1]), np.uint32) for extra in (1, 2, 1))
    b[:4], c[:4], d[1:] = start[1], start[2], start[3]
    # For a face the calls cost more than the arithmetic, so each is written out with its views.
    columns = _steps(a, b[:4], c[:4], d[1:])
    diagonals = _steps(a, b[1:], c[2:], d[:4])
    spare = np.empty_like(a)
    add, xor, either = np.add, np.bitwise_xor, np.bitwise_or
    left, right = np.left_shift, np.right_shift
    b0, b4, c0, c4, d0, d4 = b[0], b[4], c[:2], c[4:], d[0], d[4]
    for _ in range(10):
        for x, y, z, up, down in columns:
            add(x, y, x)
            xor(z, x, z)
            right(z, down, spare)
            left(z, up, z)
            either(z, spare, z)
        b4[:], c4[:], d0[:] = b0, c0, d4
        for x, y, z, up, down in diagonals:
            add(x, y, x)
            xor(z, x, z)
            right(z, down, spare)
            left(z, up, z)
            either(z, spare, z)
        b0[:], c0[:], d4[:] = b4, c4, d0
    mixed = np.stack((a, b[:4], c[:4], d[1:]))
    mixed += start
    return mixed


Step = tuple[Words, Words, Words, Words, Words]


def _steps(a: Words, b: Words, c: Words, d: Words) -> list[Step]:
    """One quarter round: what is added, to what, what is turned, by how many bits up and down."""
    plan = ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7))
    # Arrays without a dimension: a NumPy scalar would be converted anew at every call.
    return [(x, y, z, np.array(n, np.uint32), np.array(32 - n, np.uint32)) for x, y, z, n in plan]
