from __future__ import annotations

import numpy as np
import pytest

from stream_anon.kernels.chacha import keystream


def test_block_of_rfc_8439():
    """Section 2.3.2."""
    words = keystream(bytes(range(32)), 16, counter=1, nonce=(0x09000000, 0x4A000000, 0))
    assert words.astype("<u4").tobytes().hex() == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_zero_key_of_rfc_8439():
    """Appendix A.1, test vectors 1 and 2: counters 0 and 1 follow each other."""
    stream = keystream(bytes(32), 32).astype("<u4").tobytes()
    assert stream[:8].hex() == "76b8e0ada0f13d90"
    assert stream[64:72].hex() == "9f07e7be5551387a"


def test_a_longer_stream_begins_with_the_shorter_one():
    key = bytes(range(32))
    assert np.array_equal(keystream(key, 1000)[:77], keystream(key, 77))


def test_bits_are_balanced():
    words = keystream(bytes(range(32)), 100_000)
    ones = np.unpackbits(words.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 4 * 0.5 / np.sqrt(3_200_000)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(key: bytes):
    with pytest.raises(ValueError, match="32 bytes"):
        keystream(key, 1)


def test_the_counter_does_not_wrap():
    with pytest.raises(ValueError, match="cannot draw"):
        keystream(bytes(32), 17, counter=2**32 - 1)
