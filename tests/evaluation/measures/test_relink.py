"""Whether people who come back are recognised: thresholds, runs, the command."""

from __future__ import annotations

import tarfile

import cv2
import numpy as np
import pytest

from stream_anon.evaluation.measures import relink
from tests.fakes import noise


def codes(people: np.ndarray, spread: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((people.max() + 1, 64))
    made = centres[people] + spread * rng.standard_normal((len(people), 64))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def test_clear_codes_are_all_linked_and_nobody_else():
    people = np.repeat(np.arange(30), 2)
    rows = relink.measure(codes(people, 0.05), people, 60)
    strictest = rows[-1]
    assert strictest.found.value == 1.0
    assert (strictest.right, strictest.wrong, strictest.missed) == (30.0, 0.0, 0.0)
    assert [row.rate for row in rows] == sorted((row.rate for row in rows), reverse=True)


def test_codes_that_say_nothing_link_strangers():
    people = np.repeat(np.arange(300), 2)
    loose = relink.measure(codes(people, 50.0), people, 200)[0]
    assert loose.found.value < 0.05
    assert loose.wrong > 20 * loose.right


def test_the_command(tmp_path, capsys):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for person in "ab":
            for number in (1, 2):
                path = tmp_path / f"{person}_{number}.png"
                cv2.imwrite(str(path), noise(128, 128, ord(person)) // 2 + number)
                archive.add(path, path.name)
    out = tmp_path / "page.md"
    assert relink.main([str(tmp_path / "set.tar"), "--tracks", "4", "--out", str(out)]) == 0
    assert "4 frames of 2 people" in out.read_text() == capsys.readouterr().out
    assert relink.main([str(tmp_path / "absent.tar")]) == 1


@pytest.mark.shared
def test_at_a_rate_that_keeps_strangers_apart_hardly_anybody_is_found(shared):
    """Why there is no option that gives people who come back their face again."""
    faces = relink.read_faces(shared / "faces" / "lfw_dev_128.tar").subset(range(1200))
    rows = relink.measure(relink.encode(faces), faces.people(), 200)
    assert all(row.found.value < 0.3 for row in rows if row.rate <= 1e-4)
