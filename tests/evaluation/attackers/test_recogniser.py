from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from stream_anon.errors import ConfigError, ModelError
from stream_anon.evaluation.attackers.loading import load_attackers, read_spec
from stream_anon.evaluation.attackers.recogniser import Recogniser, unit_rows
from stream_anon.evaluation.reporting.files import shipped_attackers

GOOD = {"name": "toy", "file": "toy.xml", "input": "x", "size": 16, "dimension": 3}


def write_spec(folder: Path, **changes: object) -> Path:
    path = folder / f"{changes.get('name', 'toy')}.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


@pytest.fixture
def toy(tmp_path: Path, toy_network) -> Path:
    """A folder with a recogniser whose embedding is the mean colour."""
    toy_network(tmp_path / "toy.xml", 16)
    return tmp_path


def test_every_shipped_description_is_valid_and_named_as_its_file():
    found = shipped_attackers()
    assert len(found) >= 4
    for path in found:
        assert read_spec(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size": 2}, "size"),
        ({"window": [20, 20, 112]}, "window"),
        ({"window": [0, 0, 0]}, "window"),
        ({"std": [0, 1, 1]}, "std"),
        ({"colours": "GRB"}, "colours"),
        ({"layout": "chw"}, "layout"),
        ({"dimension": 1}, "dimension"),
        ({"name": "../evil"}, "name"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_description_is_refused_by_name(tmp_path, change, word):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}))
    with pytest.raises(ConfigError, match=word):
        read_spec(path)


@pytest.mark.parametrize("text", ["- 1", "a: [", ""])
def test_a_file_that_describes_nothing_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="bad.yaml"):
        read_spec(path)
    with pytest.raises(ConfigError, match="gone.yaml"):
        read_spec(tmp_path / "gone.yaml")


def test_a_recogniser_sees_window_order_and_scale(toy):
    image = np.zeros((1, 128, 128, 3), np.uint8)
    image[:, 8:120, 8:120] = (30, 60, 90)
    image[:, :8] = image[:, 120:] = 255
    plain = load_attackers([write_spec(toy)], toy)[0]
    assert plain.embed(image)[0] == pytest.approx(unit_rows(np.float32([30, 60, 90])), abs=1e-5)
    turned = load_attackers(
        [write_spec(toy, name="turned", colours="BGR", mean=[90, 0, 0], std=[1, 2, 1])], toy
    )[0]
    assert turned.embed(image)[0] == pytest.approx(unit_rows(np.float32([0, 30, 30])), abs=1e-5)


def test_batches_do_not_change_an_embedding(toy):
    images = np.random.default_rng(0).integers(0, 256, (19, 128, 128, 3), dtype=np.uint8)
    attacker = load_attackers([write_spec(toy)], toy)[0]
    together = attacker.embed(images)
    assert together.shape == (19, 3)
    assert np.allclose(together[17], attacker.embed(images[17:18])[0])
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_an_embedding_that_is_no_direction_is_like_nobody(toy):
    attacker = load_attackers([write_spec(toy)], toy)[0]
    assert not attacker.embed(np.zeros((1, 128, 128, 3), np.uint8)).any()
    assert not unit_rows(np.array([[np.nan, 1.0], [np.inf, 0.0]], np.float32)).any()


def test_another_dimension_is_refused(toy):
    with pytest.raises(ModelError, match="the embedding has 3"):
        Recogniser(read_spec(write_spec(toy, dimension=4)), toy / "toy.xml")


def test_a_missing_network_and_a_double_name_are_refused(toy):
    with pytest.raises(ModelError, match=r"gone\.xml is not in"):
        load_attackers([write_spec(toy, name="lost", file="gone.xml")], toy)
    path = write_spec(toy)
    with pytest.raises(ConfigError, match="already"):
        load_attackers([path, path], toy)


def test_the_fingerprint_follows_network_and_description(toy):
    one = load_attackers([write_spec(toy)], toy)[0]
    other = load_attackers([write_spec(toy, name="other", mean=[1, 1, 1])], toy)[0]
    assert one.fingerprint != other.fingerprint
