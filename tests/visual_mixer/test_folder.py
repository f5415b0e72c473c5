from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from stream_anon.errors import InputError, UsageError
from stream_anon.visual_mixer.folder import MixOptions, mix_folder, plan
from stream_anon.visual_mixer.mix import vfe
from tests.visual_mixer.scenes import scene


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    for i in range(6):
        place = source / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{i}.{'png' if i % 3 else 'jpg'}"), scene(64, 64, i))
    return source


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR)


ONE = MixOptions(vfe=80.0, workers=1)


def test_classes_and_names_are_kept_and_targets_met(folder, tmp_path):
    steps = []
    result = mix_folder(folder, tmp_path / "out", ONE, lambda *at: steps.append(at))
    names = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")}
    assert names == {f"class{i % 2}/{i}.png" for i in range(6)}
    assert (result.mixed, result.kept, result.failed) == (6, 0, [])
    assert steps[-1] == (6, 6)
    for i in range(6):
        mixed = read(tmp_path / "out" / f"class{i % 2}" / f"{i}.png")
        assert abs(vfe(mixed) / 80.0 - 1) < 0.03


def test_several_processes_do_the_same_work(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(20):
        cv2.imwrite(str(source / f"{i}.png"), scene(16, 16, 0))
    result = mix_folder(source, tmp_path / "out", MixOptions(vfe=60.0, workers=2))
    assert result.mixed == 20
    # The same image twenty times, a key for each: no two results are the same.
    assert len({read(p).tobytes() for p in (tmp_path / "out").glob("*.png")}) == 20


def test_a_second_run_goes_on_where_the_first_was(folder, tmp_path):
    out = tmp_path / "out"
    mix_folder(folder, out, ONE)
    kept = (out / "class0" / "2.png").read_bytes()
    (out / "class0" / "0.png").unlink()
    result = mix_folder(folder, out, ONE)
    assert (result.mixed, result.kept) == (1, 5)
    assert (out / "class0" / "2.png").read_bytes() == kept
    again = mix_folder(folder, out, MixOptions(vfe=80.0, workers=1, overwrite=True))
    assert again.mixed == 6
    assert (out / "class0" / "2.png").read_bytes() != kept


def test_two_kinds_of_result_are_not_mixed_in_one_folder(folder, tmp_path):
    mix_folder(folder, tmp_path / "out", ONE)
    with pytest.raises(UsageError, match="begun with other options"):
        mix_folder(folder, tmp_path / "out", MixOptions(vfe=90.0, workers=1))


def test_the_record_holds_options_and_no_key(folder, tmp_path):
    mix_folder(folder, tmp_path / "out", ONE)
    record = json.loads((tmp_path / "out" / "mix.json").read_text())
    assert record == {"vfe": 80.0, "region": None, "smallest": None, "channels": 1.0}


def test_a_bad_file_is_one_line_and_the_others_are_done(folder, tmp_path):
    (folder / "class0" / "broken.png").write_bytes(b"no image")
    (folder / "class0" / "empty.jpg").write_bytes(b"")
    cv2.imwrite(str(folder / "class0" / "thin.png"), np.zeros((1, 9, 3), np.uint8))
    result = mix_folder(folder, tmp_path / "out", ONE)
    assert result.mixed == 6
    assert {p.name for p, _ in result.failed} == {"broken.png", "empty.jpg", "thin.png"}
    assert all("\n" not in words for _, words in result.failed)
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_names_that_differ_in_their_ending_alone_keep_it(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    assert [t.name for _, t in plan(tmp_path, tmp_path / "out")] == ["a.png", "a.png.png"]


def test_what_cannot_be_mixed_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        mix_folder(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        mix_folder(tmp_path / "bare", tmp_path / "out")
    for inside in (folder, folder / "deeper", folder.parent):
        with pytest.raises(UsageError, match="in one another"):
            mix_folder(folder, inside)


@pytest.mark.parametrize(
    "options", [{"vfe": 0.0}, {"channels": 1.5}, {"region": 5}, {"workers": -1}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        MixOptions(**options)
