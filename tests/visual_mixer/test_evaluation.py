from __future__ import annotations

import numpy as np
import pytest

from stream_anon.evaluation.data.face_set import Pairs
from stream_anon.visual_mixer.evaluation import attacks, sets, target
from stream_anon.visual_mixer.evaluation.report import markdown, section, write
from stream_anon.visual_mixer.evaluation.sets import Recipe
from tests.visual_mixer.scenes import scene


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


def hits(right: list[int], count: int = 16) -> dict[str, object]:
    """A training that had these of so many test images right in every task."""
    mask = np.zeros(count, bool)
    mask[right] = True
    found: dict[str, object] = {"vfe UTK": 90.0}
    for task in ("gender", "age band", "digit"):
        found |= {task: float(mask.mean()), f"count {task}": count}
        found[f"hits {task}"] = np.packbits(mask).tobytes().hex()
    return found


def test_the_mean_over_seeds_says_how_sure_it_is():
    known = {f"utility: clear, adam, seed {s}": hits(list(range(14))) for s in range(2)}
    known |= {f"utility: VFE 100, adam, seed {s}": hits(list(range(12 + s))) for s in range(2)}
    table = section(known, {"train": 1, "test": 1}).tables[0]
    assert table.title.startswith("The mean")
    clear, mixed = table.rows
    assert clear[0] == "clear, adam"
    assert clear[-3:] == [None, None, None]
    assert mixed[:2] == ["VFE 100, adam", 2]
    assert mixed[-3] == pytest.approx(100 * 1.5 / 16)
    # One image is lost by both, one by one of two: the same in three tasks, so three times it.
    apart = np.array([1.0, 0.5] + [0.0] * 14)
    square = apart.var(ddof=1) / 16 + np.var([2 / 16, 1 / 16], ddof=1) / 2
    assert mixed[-2] == pytest.approx(196 * np.sqrt(square))
    assert mixed[-1] == "6.25 to 12.50"


def test_targets_are_met_where_they_can_be():
    images = [
        scene(112, 112, 0),
        scene(112, 112, 1, grey=True),
        np.zeros((112, 112, 3), np.uint8),
    ]
    found = target.reached(images, 60.0)
    assert found["count"] == 3
    assert found["met"] == found["reachable"] == 1
    assert found["largest error"] <= 0.02
    table = section({"target: lfw, 60": found}, {"train": 1, "test": 1}).tables[0]
    assert table.rows[0][:5] == ["lfw", 60.0, 3, 1 / 3, 1.0]


def test_later_faces_are_compared_with_the_first_ones_permutation():
    face = scene(112, 112, 0)
    track = target.Track(np.zeros(4), [face, face, scene(112, 112, 3)])
    first, later = target.in_video([track, target.Track(np.zeros(4), [face // 50])], 70.0)
    assert (first["count"], first["met"]) == (2, 1)
    assert later["count"] == 2
    assert later["met"] >= 1


def test_a_run_that_was_cut_short_still_gives_a_page():
    for keys in ([], ["known pairs"], ["leak: clear"], ["utility: clear, st-adam, seed 0"]):
        some = {k: v for k, v in figures().items() if k in keys}
        markdown(section(some, {"train": 1, "test": 1}))


def test_files_are_written(tmp_path):
    write(section(figures(), {"train": 1, "test": 1}), figures(), {}, tmp_path / "out")
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".json", ".md", ".svg"}
    assert (tmp_path / "out" / "visual_mixer.svg").read_text().startswith("<svg")


def test_a_reused_permutation_is_recovered_and_a_fresh_one_is_not():
    images = np.stack([scene(64, 64, seed) for seed in range(9)])
    assert attacks.recovered(images, 8, reuse=True) > 0.6
    assert attacks.recovered(images, 8, reuse=False) < 0.1


def test_mixed_copies_meet_their_target_and_differ():
    images = np.stack([scene(112, 112, 0)] * 2)
    mixed, mean_vfe = sets.mixed(images, Recipe(90.0))
    assert abs(mean_vfe / 90.0 - 1) < 0.02
    assert not np.array_equal(mixed[0], mixed[1])
    same, none = sets.mixed(images, None)
    assert same is images
    assert none == 0.0


def test_recipes_say_what_they_are():
    assert str(Recipe(None)) == "full shuffle"
    assert str(Recipe(60.0, 2, 0.0)) == "VFE 60, windows from 2, channels 0"
    assert str(Recipe(None, region=8)) == "full shuffle, regions of 8"


def test_the_default_is_chosen_on_pairs_that_are_not_reported():
    a, b = np.arange(40), np.arange(40, 80)
    pairs = Pairs(np.zeros(40, np.int64), a, b, np.arange(40) < 20)
    taken = pairs.take(8)
    others = attacks.without(pairs, taken, 9)
    assert others.same.sum() == 9
    assert (~others.same).sum() == 3
    assert not set(others.a.tolist()) & set(taken.a.tolist())


def test_psnr_of_equal_and_of_different_images():
    clear = np.full((1, 8, 8, 3), 100, np.uint8)
    assert attacks.psnr(clear + np.uint8(255 // 10), clear) == pytest.approx(20.1, abs=0.2)
    assert attacks.psnr(clear, clear) > 80


@pytest.mark.train
def test_the_network_learns_and_restores():
    torch = pytest.importorskip("torch")
    # Two threads of torch wait for each other for a long time on a busy machine.
    torch.set_num_threads(1)
    from stream_anon.visual_mixer.evaluation import nets

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (256, 1))
    images = draw.integers(0, 60, (256, 32, 32, 3)).astype(np.uint8)
    images += (labels[:, :, None, None] * 120).astype(np.uint8)
    for optimiser in ("st-adam", "adam"):
        how = nets.Training(epochs=3, optimiser=optimiser)
        net = nets.train(lambda: nets.Reader(2), images, labels, nets.classes((2,)), how)
        assert (nets.answers(net, images).argmax(axis=1) == labels[:, 0]).mean() > 0.9
    restorer = nets.train(
        nets.Restorer, images[:64], images[:64], nets.nearness, nets.Training(epochs=1)
    )
    assert nets.answers(restorer, images[:2]).shape == (2, 3, 32, 32)


@pytest.mark.shared
def test_the_split_of_the_faces_is_fixed(shared):
    data = sets.read_utk(shared / "faces", 40, 20)
    assert data.images.shape == (60, 128, 128, 3)
    assert set(np.unique(data.labels[:, 0])) == {0, 1}
    again = sets.read_utk(shared / "faces", 30, 30)
    assert np.array_equal(data.images, again.images)
