"""One release per track, frozen, written down; and what the ledger never holds."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np
import pytest

from stream_anon.errors import Fault, InputError
from stream_anon.privacy import (
    Independent,
    LaplaceDatasetMaximum,
    Ledger,
    PrivUnit,
    Release,
    ReleaseError,
    Releases,
    SecureRandom,
    UniformPrior,
    VonMisesFisher,
    read_report,
)
from stream_anon.privacy.contract import MechanismRecord
from stream_anon.track_state import TrackState
from tests.fakes import state
from tests.privacy.tools import fixed, random_code


def test_a_track_is_drawn_once_and_another_one_differs():
    releases = Releases(VonMisesFisher(32, 4.0), rng=fixed(1))
    first = releases.of(state(1), random_code(32, 1), time=0.0)
    assert releases.of(state(1), random_code(32, 2), time=1.0) is first
    assert releases.get(state(1)) is first
    assert releases.get(state(2)) is None
    other = releases.of(state(2), random_code(32, 1))
    assert not np.array_equal(first.code, other.code)


def test_by_default_two_runs_differ():
    codes = [Releases(Independent(UniformPrior(16))).of(state(1)).code for _ in range(2)]
    assert not np.array_equal(*codes)


def test_a_release_is_frozen_and_keeps_the_code_out_of_its_repr():
    release = Release.draw(PrivUnit(16, 4.0), random_code(16), fixed(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        release.epsilon = 0.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        release.code[0] = 0.0
    with pytest.raises(TypeError):
        release.parameters["g"] = 0.0  # type: ignore[index]
    assert "array" not in repr(release)
    assert {field.name for field in dataclasses.fields(release)} == {
        "mechanism", "parameters", "dimension", "epsilon", "delta", "code",
    }  # fmt: skip


def test_a_bad_code_is_a_fault_and_leaves_no_trace():
    releases = Releases(PrivUnit(16, 4.0), rng=fixed(3))
    with pytest.raises(Fault):
        releases.of(state(1), np.full(16, np.nan))
    assert len(releases.ledger) == 0
    assert releases.of(state(1), random_code(16)).epsilon == 4.0


def test_forgetting_drops_the_code_and_keeps_the_line():
    releases = Releases(PrivUnit(16, 4.0), rng=fixed(4))
    ended = TrackState(7)
    releases.of(ended, random_code(16), time=2.5)
    ended.close()
    ended.close()
    assert releases.get(ended) is None
    [line] = releases.ledger.to_json()["tracks"]
    assert line["track"] == 7
    with pytest.raises(ReleaseError):
        releases.of(TrackState(7), random_code(16))


def test_close_drops_the_key_and_the_ledger_stays():
    rng = fixed(5)
    releases = Releases(PrivUnit(16, 4.0), rng=rng)
    releases.of(state(1), random_code(16))
    releases.close()
    assert rng.closed
    assert len(releases.ledger) == 1


def test_threads_that_meet_a_track_together_get_one_release():
    releases = Releases(VonMisesFisher(64, 4.0), rng=fixed(6))
    seen, states = [], [TrackState(track) for track in range(30)]
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        seen.extend(releases.of(state, random_code(64)) for state in states)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(release) for release in seen}) == 30
    assert len(releases.ledger) == 30


def test_the_ledger_holds_every_track_and_its_times():
    releases = Releases(VonMisesFisher(32, 4.0), rng=fixed(7))
    for time in (1.0, 0.5, 2.0, None):
        releases.of(state(3), random_code(32), time=time)
    releases.of(state(4), random_code(32))
    report = releases.ledger.to_json()
    assert report["tracks"] == [
        {"track": 3, "mechanism": "vmf", "dimension": 32, "sensitivity": 2.0, "norm": "l2",
         "epsilon": 8.0, "delta": 0.0, "first": 0.5, "last": 2.0},
        {"track": 4, "mechanism": "vmf", "dimension": 32, "sensitivity": 2.0, "norm": "l2",
         "epsilon": 8.0, "delta": 0.0, "first": None, "last": None},
    ]  # fmt: skip
    [mechanism] = report["mechanisms"]
    assert mechanism["parameters"] == {"kappa": 4.0}
    assert report["composition"][0]["rows"][0]["tracks"] == 1


def test_the_ledger_survives_json_and_holds_neither_code_nor_key():
    rng = SecureRandom()
    key = bytes(rng._key).hex()
    releases = Releases(PrivUnit(32, 4.0), rng=rng)
    true = random_code(32)
    released = releases.of(state(1), true).code
    text = json.dumps({"privacy": releases.ledger.to_json()}, allow_nan=False)
    assert read_report(json.loads(text)) == releases.ledger.to_json()
    assert key not in text
    for code in (true, released):
        assert not any(f"{value:.6f}"[:8] in text for value in code)


def test_limits_are_said_in_every_report():
    report = Ledger().to_json()
    words = " ".join(report["limits"])
    assert "not a guarantee about the output video" in words
    assert "resemblance knob" in words
    for never in ("anonymous", "GDPR", "guaranteed unrecognisable"):
        assert never not in words


def test_an_unsafe_seed_is_said_first():
    releases = Releases(PrivUnit(16, 4.0), rng=fixed(8))
    releases.of(state(1), random_code(16))
    report = releases.ledger.to_json()
    assert report["unsafe_seed"]
    assert report["limits"][0].startswith("unsafe_seed was set")
    safe = Releases(PrivUnit(16, 4.0))
    safe.of(state(1), random_code(16))
    assert not safe.ledger.to_json()["unsafe_seed"]


def test_a_mechanism_without_guarantee_is_said():
    releases = Releases(LaplaceDatasetMaximum(16, 4.0, 5.0), rng=SecureRandom())
    releases.of(state(1), random_code(16))
    report = releases.ledger.to_json()
    assert "no differential-privacy guarantee" in report["limits"][0].replace("gives ", "")
    assert report["tracks"][0]["epsilon"] is None


def test_a_track_stands_in_the_ledger_once():
    ledger = Ledger()
    record = PrivUnit(16, 4.0).record()
    ledger.add(1, record)
    ledger.add(2, PrivUnit(16, 8.0).record())
    with pytest.raises(ValueError, match="already"):
        ledger.add(1, record)
    assert [line["epsilon"] for line in ledger.to_json()["tracks"]] == [4.0, 8.0]


@pytest.mark.parametrize("manifest", [{}, {"privacy": {}}, {"privacy": None}])
def test_a_manifest_without_ledger(manifest):
    assert read_report(manifest) is None


def broken(**changes):
    report = dict(Releases(PrivUnit(16, 4.0)).ledger.to_json())
    report.update(changes)
    return {"privacy": report}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"privacy": [1]}, "lacks: composition, ledger_version"),
        ({"privacy": {"tracks": []}}, "lacks: composition"),
        (broken(ledger_version=2), "version 2"),
        (broken(tracks={}), "no list"),
        (broken(tracks=[{"track": 1}]), "tracks lacks: delta"),
        (broken(mechanisms=["vmf"]), "mechanisms lacks: assumptions"),
    ],
)
def test_a_broken_ledger_is_an_input_error(manifest, words):
    with pytest.raises(InputError, match=words):
        read_report(manifest)


def test_the_record_names_are_pinned():
    # Manifests outlive releases of this package.
    assert set(MechanismRecord.__annotations__) == {
        "name", "dimension", "kind", "epsilon", "delta", "sensitivity", "norm", "metric",
        "parameters", "sampling", "expected_cosine", "assumptions",
    }  # fmt: skip
