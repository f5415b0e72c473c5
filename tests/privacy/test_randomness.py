"""SecureRandom: distributions, independence, and a key that stays where it is."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import threading

import numpy as np
import pytest
from scipy import stats

from stream_anon.errors import UsageError
from stream_anon.privacy import randomness
from stream_anon.privacy.randomness import RandomnessError, SecureRandom, UnsafeSeedWarning
from tests.privacy.tools import P_MIN

N = 200_000


def test_uniform_is_uniform_open_and_fine(rng):
    u = rng.uniform(N)
    assert stats.kstest(u, "uniform").pvalue > P_MIN
    assert u.min() > 0.0
    assert u.max() < 1.0
    # All 53 bits are alive: the lowest is set half of the time.
    lowest = (u * 2.0**53).astype(np.uint64) & np.uint64(1)
    assert abs(lowest.mean() - 0.5) < 0.005
    assert np.unique(u).size == N


def test_uniform_never_gives_zero_or_one(rng, monkeypatch):
    answers = iter([b"\x00" * 8 + b"\xff" * 8, b"\x00" * 8, b"\xff" * 8])
    monkeypatch.setattr(SecureRandom, "bytes", lambda self, n: next(answers))
    u = rng.uniform(2)
    assert u.tolist() == [1 - 2.0**-53, 1 - 2.0**-53]


def test_normal_is_normal_and_its_halves_are_independent(rng):
    x = rng.normal(N)
    assert stats.kstest(x, "norm").pvalue > P_MIN
    cosine, sine = x[: N // 2], x[N // 2 :]
    assert abs(np.corrcoef(cosine, sine)[0, 1]) < 0.01
    assert abs(np.corrcoef(cosine**2, sine**2)[0, 1]) < 0.01
    assert rng.normal(7).shape == (7,)
    assert rng.normal(0).shape == (0,)


def test_the_normal_test_would_see_a_wrong_sampler(rng):
    # The sum of three uniforms: bell-shaped, of mean 0 and variance 1, and wrong.
    crude = 2.0 * rng.uniform(3 * N).reshape(3, N).sum(axis=0) - 3.0
    assert stats.kstest(crude, "norm").pvalue < P_MIN


def test_exponential(rng):
    assert stats.kstest(rng.exponential(N), "expon").pvalue > P_MIN


@pytest.mark.parametrize("high", [1, 2, 3, 7, 1000])
def test_integers_are_uniform(rng, high):
    x = rng.integers(high, N)
    counts = np.bincount(x, minlength=high)
    assert counts.size == high
    if high > 1:
        assert stats.chisquare(counts).pvalue > P_MIN


def test_integers_have_no_modulo_bias(rng):
    # 3 * 2**61: a bare remainder of a 64-bit word would land in the lowest third three
    # times for every two times elsewhere.
    high = 3 * 2**61
    thirds = np.bincount(rng.integers(high, N) // 2**61, minlength=3)
    assert stats.chisquare(thirds).pvalue > P_MIN
    biased = np.frombuffer(rng.bytes(8 * N), dtype="<u8") % np.uint64(high) // np.uint64(2**61)
    assert stats.chisquare(np.bincount(biased.astype(np.int64), minlength=3)).pvalue < P_MIN


@pytest.mark.parametrize("high", [0, -1, 2**63 + 1])
def test_integers_refuse_a_bad_range(rng, high):
    with pytest.raises(UsageError):
        rng.integers(high, 1)


def test_every_permutation_is_equally_likely(rng):
    orders = rng.permutations(48_000, 4)
    index = {order: i for i, order in enumerate(itertools.permutations(range(4)))}
    counts = np.bincount([index[tuple(o)] for o in orders.tolist()], minlength=24)
    assert stats.chisquare(counts).pvalue > P_MIN


def test_a_permutation_with_equal_keys_is_drawn_again(rng, monkeypatch):
    answers = iter(
        [
            np.array([5, 5, 1, 3, 2, 1], dtype="<u8").tobytes(),
            np.array([9, 8, 7], dtype="<u8").tobytes(),
        ]
    )
    monkeypatch.setattr(SecureRandom, "bytes", lambda self, n: next(answers))
    assert rng.permutations(2, 3).tolist() == [[2, 1, 0], [2, 1, 0]]


@pytest.mark.parametrize("n", [0, 1, 2, 12544])
def test_permutation_is_a_permutation(rng, n):
    assert np.array_equal(np.sort(rng.permutation(n)), np.arange(n))


def test_negative_counts_are_refused(rng):
    for call in (rng.bytes, rng.uniform, rng.permutation):
        with pytest.raises(UsageError):
            call(-1)


def test_two_default_generators_differ():
    assert SecureRandom().bytes(32) != SecureRandom().bytes(32)


def test_requests_differ_from_each_other(rng):
    assert rng.bytes(32) != rng.bytes(32)


def test_neither_numpy_nor_python_can_seed_it():
    import random

    answers = []
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)
        answers.append(SecureRandom().bytes(32))
    assert answers[0] != answers[1]


def test_the_only_seed_is_called_unsafe_and_warns(make_rng):
    with pytest.warns(UnsafeSeedWarning):
        seeded = SecureRandom(unsafe_seed=1)
    assert seeded.unsafe
    assert not SecureRandom().unsafe
    assert seeded.bytes(8) == make_rng(1).bytes(8)
    assert make_rng(1).bytes(8) != make_rng(2).bytes(8)
    with pytest.raises(TypeError):
        SecureRandom(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        SecureRandom(seed=1)  # type: ignore[call-arg]


def test_the_stream_of_a_seed_is_pinned(make_rng):
    # A change here changes every fixed statistic in this folder.
    assert make_rng(0).bytes(8).hex() == "e5e29e0cd7598c51"


def test_spawned_children_never_repeat(make_rng):
    parent = make_rng(3)
    streams = {parent.spawn("track 1").bytes(16) for _ in range(5)}
    streams |= {parent.spawn("track 2").bytes(16), parent.bytes(16)}
    assert len(streams) == 7
    assert make_rng(3).spawn("track 1").bytes(16) in streams
    assert parent.spawn("x").unsafe


def test_derived_children_repeat_by_label(rng):
    first, again, other = rng.derive("a"), rng.derive("a"), rng.derive("b")
    drawn = first.bytes(16)
    assert drawn == again.bytes(16) != other.bytes(16)
    assert drawn != rng.spawn("a").bytes(16)


def test_close_drops_the_key_and_children_live_on(rng):
    child = rng.spawn("child")
    with rng:
        rng.bytes(1)
    assert rng.closed
    assert bytes(rng._key) == bytes(randomness.KEY_BYTES)
    for use in (lambda: rng.bytes(1), lambda: rng.spawn("x"), lambda: rng.derive("x")):
        with pytest.raises(RandomnessError, match="closed"):
            use()
    assert len(child.bytes(4)) == 4
    rng.close()  # twice does no harm


def test_the_key_is_never_shown(rng):
    key = bytes(rng._key)
    for text in (repr(rng), str(rng), f"{rng!r}"):
        assert key.hex() not in text
        assert str(key) not in text
    assert repr(rng) == "<SecureRandom keyed by unsafe seed>"
    assert not hasattr(rng, "__dict__")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_no_pickle_and_no_copy(rng, duplicate):
    with pytest.raises(TypeError, match="repeat its stream"):
        duplicate(rng)


def test_threads_never_get_the_same_bytes(rng):
    seen: list[bytes] = []

    def draw() -> None:
        for _ in range(300):
            seen.append(rng.bytes(16))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1200


def test_another_process_is_refused(rng, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RandomnessError, match="forked"):
        rng.bytes(1)
