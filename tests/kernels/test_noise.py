"""Noise for codes: RFC vectors, the source against its twin, the distribution, the release."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stream_anon.kernels.chacha import key_words
from stream_anon.kernels.noise import gaussian_table, laplace_table
from stream_anon.kernels.track_codes import TrackCodes, add_noise
from stream_anon.kernels.twin import TwinModule

TWIN = TwinModule("noise")
KEY = bytes(range(32))


def unit_codes(rows: int, dimension: int, seed: int) -> np.ndarray:
    codes = np.random.default_rng(seed).standard_normal((rows, dimension))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    return codes.astype(np.float32)


def stream(module, key: bytes, counter: int, nonce: tuple[int, int, int], count: int) -> bytes:
    words = module.put(np.zeros((count, 16), np.uint32))
    module.launch(
        "noise_stream", count, module.put(key_words(key)), np.int32(counter),
        module.put(np.array(nonce, np.uint32)), np.int32(count), words,
    )  # fmt: skip
    return module.get(words).astype("<u4").tobytes()


VECTORS = [
    # RFC 8439, section 2.3.2.
    (KEY, 1, (0x09000000, 0x4A000000, 0), 1,
     "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
     "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"),
    # Appendix A.1, vectors 1 and 2: one after the other.
    (bytes(32), 0, (0, 0, 0), 2,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
     "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
     "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
     "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"),
    # Vector 3: the key's last bit.
    (bytes(31) + b"\x01", 1, (0, 0, 0), 1,
     "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
     "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "counter", "nonce", "count", "wanted"), VECTORS)
def test_vectors_of_rfc_8439(compiled, key, counter, nonce, count, wanted):
    for module in (compiled["noise"], TWIN):
        assert stream(module, key, counter, nonce, count).hex() == wanted


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 6),
    dimension=st.sampled_from([1, 7, 8, 9, 128, 512]),
    bits=st.integers(1, 14),
    scale=st.floats(0.05, 300),
    kind=st.sampled_from([gaussian_table, laplace_table]),
    seed=st.integers(0, 99),
)
def test_noise_agrees_with_the_twin(compiled, rows, dimension, bits, scale, kind, seed):
    codes, table = unit_codes(rows, dimension, seed), kind(scale)
    owners = np.random.default_rng(seed).integers(0, 2, rows).astype(np.int32)
    keys = [KEY, KEY[::-1]]
    found = compiled["noise"].get(
        add_noise(compiled["noise"], codes, owners, keys, table, bits)
    )
    np.testing.assert_array_equal(found, add_noise(TWIN, codes, owners, keys, table, bits))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_no_codes_are_no_work(compiled):
    none = np.empty((0, 128), np.float32)
    found = add_noise(compiled["noise"], none, np.empty(0, np.int32), [KEY], laplace_table(3.0), 8)
    assert found.shape == (0, 128)


def grid_noise(module, codes, table, bits, keys, owners):
    """The noise itself, in steps of the grid."""
    rows, dimension = codes.shape
    noisy = module.put(np.zeros((rows, dimension), np.int32))
    squares = module.put(np.zeros(rows, np.uint64))
    module.launch(
        "noise_add", rows * -(-dimension // 8), module.put(codes), np.int64(rows),
        np.int32(dimension), np.int32(bits), module.put(owners),
        module.put(np.stack([key_words(key) for key in keys])),
        module.put(np.zeros(3, np.uint32)), module.put(table.thresholds),
        np.int32(len(table.thresholds)), np.int32(table.low), noisy, squares,
    )  # fmt: skip
    found = module.get(noisy).astype(np.int64)
    assert ((found**2).sum(axis=1).astype(np.uint64) == module.get(squares)).all()
    return found - np.rint(codes * np.float32(1 << bits)).astype(np.int64)


def test_the_noise_of_a_track_is_the_same_in_every_frame_and_for_every_code(compiled):
    codes, table = unit_codes(4, 128, 0), gaussian_table(40.0)
    owners = np.array([0, 1, 0, 1], np.int32)
    noise = grid_noise(compiled["noise"], codes, table, 10, [KEY, KEY[::-1]], owners)
    assert np.array_equal(noise[0], noise[2])
    assert np.array_equal(noise[1], noise[3])
    assert (noise[0] != noise[1]).mean() > 0.9


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_draws_have_the_distribution_that_they_should(compiled, kind):
    """Chi-square over all values that are expected often enough; and no value is left out."""
    scale, rows, dimension = 6.0, 40, 512
    codes = np.zeros((rows, dimension), np.float32)
    owners = np.arange(rows, dtype=np.int32)
    keys = [bytes([n]) * 32 for n in range(rows)]
    table = gaussian_table(scale) if kind == "gaussian" else laplace_table(scale)
    drawn = grid_noise(compiled["noise"], codes, table, 4, keys, owners).ravel()
    values = np.arange(-200, 201)
    shape = values**2 / (2 * scale**2) if kind == "gaussian" else np.abs(values) / scale
    expected = np.exp(-shape) / np.exp(-shape).sum() * drawn.size
    often = expected > 20
    counts = np.array([(drawn == value).sum() for value in values])
    assert (counts[often] > 0).all()
    rest = drawn.size - counts[often].sum(), drawn.size - expected[often].sum()
    found, wanted = np.append(counts[often], rest[0]), np.append(expected[often], rest[1])
    assert stats.chisquare(found, wanted).pvalue > 1e-3


@pytest.mark.parametrize("scale", [0.3, 1.0, 55.5, 700.0])
def test_tables_are_the_distribution_functions(scale):
    laplace = laplace_table(scale)
    at = laplace.low + np.arange(len(laplace.thresholds))
    exact = stats.dlaplace(1.0 / scale).cdf(at)
    np.testing.assert_allclose(laplace.thresholds / 2.0**64, exact, atol=1e-12)
    for table in (laplace, gaussian_table(scale)):
        steps = np.diff(table.thresholds.astype(object))
        assert min(steps) >= 0
        assert table.low == -(len(table.thresholds) // 2)
        assert 0.0 < table.distance < 1e-13
        # The middle of a symmetric distribution, to a multiple of 2**-64.
        middle = int(table.thresholds[-table.low]) + int(table.thresholds[-table.low - 1])
        assert abs(middle - 2**64) <= 2


def test_what_is_released_lies_on_the_grid_whatever_the_code(compiled):
    """Floating-point noise leaves holes: here every code can give every point of the grid."""
    codes = unit_codes(2, 64, 3)
    owners, table = np.zeros(2, np.int32), laplace_table(30.0)
    noise = grid_noise(compiled["noise"], codes, table, 8, [KEY], owners)
    assert np.array_equal(noise[0], noise[1])
    assert noise.min() >= table.low
    assert noise.max() <= table.low + len(table.thresholds)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_scales_that_make_no_sense_are_refused(scale):
    for kind in (laplace_table, gaussian_table):
        with pytest.raises(ValueError, match="scale"):
            kind(scale)


def test_a_track_is_released_once(compiled):
    tracks = TrackCodes(compiled["noise"], gaussian_table(100.0))
    codes = unit_codes(3, 128, 1)
    first = tracks.of([7, 8, 7], codes)
    assert np.array_equal(first[0], first[2])
    assert not np.array_equal(first[0], first[1])
    # A fresh code changes nothing: its noise, added to it, would give the difference away.
    again = tracks.of([8, 7], unit_codes(2, 128, 2))
    assert np.array_equal(again, first[[1, 0]])
    tracks.forget(7)
    with pytest.raises(ValueError, match="not released a second time"):
        tracks.of([7], codes[:1])
    other = TrackCodes(compiled["noise"], gaussian_table(100.0)).of([7], codes[:1])
    assert not np.array_equal(other, first[:1])


def test_a_shape_that_does_not_fit_is_refused(compiled):
    tracks = TrackCodes(compiled["noise"], laplace_table(10.0))
    with pytest.raises(ValueError, match="tracks"):
        tracks.of([1, 2], unit_codes(1, 8, 0))
    with pytest.raises(ValueError, match="no key"):
        add_noise(TWIN, unit_codes(1, 8, 0), np.ones(1, np.int32), [KEY], laplace_table(1.0), 8)


def test_tracks_take_noise_of_their_own(compiled):
    """The same code for two tracks of one call: with one key both would get the same."""
    code = np.repeat(unit_codes(1, 128, 4), 2, axis=0)
    one, two = TrackCodes(compiled["noise"], gaussian_table(100.0)).of([1, 2], code)
    assert not np.array_equal(one, two)
