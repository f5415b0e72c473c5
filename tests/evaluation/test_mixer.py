from __future__ import annotations

import numpy as np
import pytest

from stream_anon.evaluation import mixer_attacks as attacks
from stream_anon.evaluation import mixer_sets as sets
from stream_anon.evaluation.mixer_report import markdown, section, write
from stream_anon.evaluation.mixer_sets import Recipe
from tests.kernels.pictures import scene


def figures() -> dict[str, dict[str, object]]:
    def part(value: float) -> dict[str, float]:
        return {"value": value, "low": 0.0, "high": 1.0, "count": 100}

    def leak(vfe: float, tar: float) -> dict[str, object]:
        found: dict[str, object] = {"vfe": vfe, "detector recall": part(tar)}
        for how in ("", " blurred"):
            found |= {f"tar a_net{how}": part(tar), f"eer a_net{how}": 0.5 - tar / 2}
        return found | {"clear tar a_net": part(0.98)}

    def utility(vfe: float, accuracy: float) -> dict[str, object]:
        return {"vfe UTK": vfe, "gender": accuracy, "age band": accuracy, "digit": accuracy}

    return {
        "leak: clear": leak(15.0, 0.98),
        "leak: VFE 100": leak(98.0, 0.01),
        "utility: clear, st-adam, seed 0": utility(0.0, 0.9),
        "utility: VFE 100, st-adam, seed 0": utility(97.0, 0.88),
        "retrained: VFE 100": {"eer": 0.3, "tar": part(0.0), "tar far 0.01": part(0.1)},
        "unmixed: VFE 100": {"psnr": 18.0, "eer a_net": 0.4, "tar a_net": part(0.0)},
        "known pairs": {"reused 1": 0.7, "fresh 1": 0.004},
    }


def test_the_tables_hold_every_figure():
    result = section(figures(), {"train": 10, "test": 5})
    titles = [table.title.split()[0] for table in result.tables]
    assert titles == ["Accuracy", "What", "Attackers", "Pixels"]
    accuracy = result.tables[0]
    assert accuracy.rows[1][-1] == pytest.approx(2.0)
    page = markdown(result)
    assert "| VFE 100, st-adam, seed 0 | 97 | 88.0 | 88.0 | 88.0 | 2 |" in page
    assert "guarantee" in page


def test_a_run_that_was_cut_short_still_gives_a_page():
    for keys in ([], ["known pairs"], ["leak: clear"], ["utility: clear, st-adam, seed 0"]):
        some = {k: v for k, v in figures().items() if k in keys}
        markdown(section(some, {"train": 1, "test": 1}))


def test_files_are_written(tmp_path):
    write(section(figures(), {"train": 1, "test": 1}), figures(), {}, tmp_path / "out")
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".json", ".md", ".svg"}
    assert (tmp_path / "out" / "visual_mixer.svg").read_text().startswith("<svg")


def test_a_reused_permutation_is_recovered_and_a_fresh_one_is_not():
    pictures = np.stack([scene(64, 64, seed) for seed in range(9)])
    assert attacks.recovered(pictures, 8, reuse=True) > 0.6
    assert attacks.recovered(pictures, 8, reuse=False) < 0.1


def test_mixed_copies_meet_their_target_and_differ():
    pictures = np.stack([scene(112, 112, 0)] * 2)
    mixed, mean_vfe = sets.mixed(pictures, Recipe(90.0))
    assert abs(mean_vfe / 90.0 - 1) < 0.02
    assert not np.array_equal(mixed[0], mixed[1])
    same, none = sets.mixed(pictures, None)
    assert same is pictures
    assert none == 0.0


def test_recipes_say_what_they_are():
    assert str(Recipe(None)) == "full shuffle"
    assert str(Recipe(60.0, 2, 0.0)) == "VFE 60, windows from 2, channels 0"


def test_psnr_of_equal_and_of_different_pictures():
    clear = np.full((1, 8, 8, 3), 100, np.uint8)
    assert attacks.psnr(clear + np.uint8(255 // 10), clear) == pytest.approx(20.1, abs=0.2)
    assert attacks.psnr(clear, clear) > 80


@pytest.mark.train
def test_the_network_learns_and_restores():
    torch = pytest.importorskip("torch")
    # Two threads of torch wait for each other for a long time on a busy machine.
    torch.set_num_threads(1)
    from stream_anon.evaluation import mixer_nets as nets

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (256, 1))
    pictures = draw.integers(0, 60, (256, 32, 32, 3)).astype(np.uint8)
    pictures += (labels[:, :, None, None] * 120).astype(np.uint8)
    for optimiser in ("st-adam", "adam"):
        how = nets.Training(epochs=3, optimiser=optimiser)
        net = nets.train(lambda: nets.Reader(2), pictures, labels, nets.classes((2,)), how)
        assert (nets.answers(net, pictures).argmax(axis=1) == labels[:, 0]).mean() > 0.9
    restorer = nets.train(
        nets.Restorer, pictures[:64], pictures[:64], nets.nearness, nets.Training(epochs=1)
    )
    assert nets.answers(restorer, pictures[:2]).shape == (2, 3, 32, 32)


@pytest.mark.shared
def test_the_split_of_the_faces_is_fixed(shared):
    data = sets.read_utk(shared / "faces", 40, 20)
    assert data.pictures.shape == (60, 128, 128, 3)
    assert set(np.unique(data.labels[:, 0])) == {0, 1}
    again = sets.read_utk(shared / "faces", 30, 30)
    assert np.array_equal(data.pictures, again.pictures)
