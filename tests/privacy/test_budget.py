"""``stream-anon budget``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from stream_anon.cli.commands.budget import budget
from stream_anon.errors import InputError
from stream_anon.privacy import (
    Gaussian,
    Independent,
    LaplaceDatasetMaximum,
    Releases,
    UniformPrior,
    VonMisesFisher,
)
from stream_anon.track_state import TrackState
from tests.privacy.tools import random_code

REPORT = {"schema_version": 1, "tool": {"name": "stream-anon", "version": "0"}}


def manifest(tmp_path, mechanism, tracks=3):
    releases = Releases(mechanism)
    for track in range(tracks):
        releases.of(TrackState(track), random_code(mechanism.dimension), time=float(track))
    path = tmp_path / "out.mp4.json"
    path.write_text(json.dumps({**REPORT, "privacy": releases.ledger.to_json()}))
    return path


def run(*arguments):
    result = CliRunner().invoke(budget, [str(a) for a in arguments], env={"COLUMNS": "100"})
    return result, " ".join(result.output.split())


def test_it_prints_the_ledger_the_table_and_the_limits(tmp_path):
    result, words = run(manifest(tmp_path, VonMisesFisher(512, 4.0)))
    assert result.exit_code == 0
    assert "vmf 3 512 8 0 2 (l2) 0.008" in words
    assert "1 8 1.639 1e-06 Rényi DP" in words
    assert "10 80 5.917 1e-06 Rényi DP" in words
    assert "not a guarantee about the output video" in words
    assert "ideal real numbers" in words


def test_a_delta_of_ones_own(tmp_path):
    path = manifest(tmp_path, Gaussian(64, 1.0, 1e-6))
    assert "1 1 1 1e-06" in run(path)[1]
    assert "1e-09" in run(path, "--delta", "1e-9")[1]


def test_the_library_can_be_asked(tmp_path):
    pytest.importorskip("dp_accounting")
    result, words = run(
        manifest(tmp_path, Gaussian(64, 1.0, 1e-6)), "--accountant", "dp-accounting"
    )
    assert result.exit_code == 0
    assert "1 1 1 1e-06" in words


def test_epsilon_zero_needs_no_table(tmp_path):
    words = run(manifest(tmp_path, Independent(UniformPrior(64))))[1]
    assert "independent 3 64 0 0 0 (none) 0.000" in words
    assert "Several tracks" not in words


def test_no_guarantee_shows_no_epsilon(tmp_path):
    words = run(manifest(tmp_path, LaplaceDatasetMaximum(64, 8.0, 10.0)))[1]
    assert "no-guarantee" in words
    assert "none is claimed" in words
    assert "Several tracks" not in words


def test_a_run_that_randomised_nothing(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**REPORT, "privacy": {}}))
    result, words = run(path)
    assert result.exit_code == 0
    assert "Nothing was randomised" in words


OTHERS = [
    "{}",
    '{"privacy": {}}',
    '{"privacy": {}, "schema_version": 1, "tool": {"name": "other"}}',
    '{"privacy": {}, "schema_version": 1, "tool": "stream-anon"}',
    '{"privacy": {}, "schema_version": 2, "tool": {"name": "stream-anon"}}',
    '{"schema_version": 1, "tool": {"name": "stream-anon"}}',
]


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", *OTHERS])
def test_what_is_no_manifest_is_an_input_error(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_bytes(text.encode("latin-1"))
    result, _ = run(path)
    assert isinstance(result.exception, InputError)
    assert "not a manifest" in str(result.exception)


def test_a_missing_file_is_a_usage_error(tmp_path):
    assert run(tmp_path / "absent.json")[0].exit_code == 2
