from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream_anon import config
from stream_anon.evaluation.attackers.loading import load_attackers, recognisers
from stream_anon.evaluation.data.clips import face_track
from stream_anon.evaluation.data.condition import parse
from stream_anon.evaluation.data.face_set import read_faces, read_pairs
from stream_anon.evaluation.data.finder import Finder, landmarks_of
from stream_anon.evaluation.measures.linkage import linkage
from stream_anon.evaluation.measures.motion import motion
from stream_anon.evaluation.measures.verification import VerificationBench
from stream_anon.evaluation.reporting.files import shipped_attackers

pytestmark = pytest.mark.shared


def test_a_clip_is_anonymised_cut_and_measured(shared: Path):
    finder = Finder("yunet", shared / "models")
    base = config.parse({"detector": {"name": "yunet"}, "models_dir": shared / "models"})
    clips = [(shared / "media" / "asl_personA_again.mkv", 0)]
    face_tracks = {"fill": face_track(clips, parse("fill"), finder, base, 12, lambda words: None)}
    (track,) = face_tracks["fill"]
    assert len(track.frames) >= 10
    assert track.clear.shape == track.new.shape == (len(track.frames), 128, 128, 3)
    middle = np.s_[:, 50:90, 45:85]
    assert track.new[middle].std(axis=(1, 2)).max() < 6.0
    assert track.clear[middle].std(axis=(1, 2)).min() > 6.0
    everyone = load_attackers(shipped_attackers(), shared / "models")
    attackers = recognisers(everyone)[:1]
    steady, kept = motion(attackers, finder, face_tracks, {"fill": "fill"}).tables
    assert steady.rows[0][1] == 1
    clear, filled = kept.rows
    assert clear[0] == "clear"
    assert clear[1] == filled[1] >= 10
    assert clear[2].value == 1.0
    assert 0.0 < clear[3].value < 0.2
    assert filled[2].value < 0.2
    assert linkage(attackers, face_tracks, {"fill": "fill"}, 1).tables == []


def test_the_ceiling_on_real_pairs_is_what_the_attacker_is_known_for(shared: Path):
    faces = read_faces(shared / "faces" / "lfw_dev_128.tar")
    pairs = read_pairs(shared / "faces" / "lfw_dev_pairs.csv", faces).take(60)
    index = np.unique(np.concatenate([pairs.a, pairs.b]))
    small = faces.subset(index)
    points, found = landmarks_of(Finder("yunet", shared / "models"), small.images(range(20)))
    assert found.all()
    assert np.abs(points.mean(axis=0)[0] - [46.3, 59.7]).max() < 3.0
    spec = next(p for p in shipped_attackers() if p.stem == "mobileface_v2")
    verification = VerificationBench(
        small, np.zeros((len(small), 5, 2)), load_attackers([spec], shared / "models")
    )
    clear = verification.clear.embeddings["mobileface_v2"]
    alike = (clear[np.searchsorted(index, pairs.a)] * clear[np.searchsorted(index, pairs.b)]).sum(1)
    assert (alike[pairs.same] > verification.thresholds["mobileface_v2"][0]).mean() > 0.9
