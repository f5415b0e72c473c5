"""What mixing costs a network and what it hides: accuracy, attackers, one table, one plot.

    python -m stream_anon.evaluation.mixer --faces DIR --models DIR --out docs/results

Every measurement is kept in a JSON as soon as it is done; a stopped run goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError
from stream_anon.evaluation import mixer_attacks as attacks
from stream_anon.evaluation import mixer_sets as sets
from stream_anon.evaluation.attacker import Recogniser, load_attackers
from stream_anon.evaluation.faceset import FaceSet, Pairs, read_faces, read_pairs
from stream_anon.evaluation.finder import Finder
from stream_anon.evaluation.mixer_report import section, write
from stream_anon.evaluation.mixer_sets import Recipe
from stream_anon.evaluation.report import Section
from stream_anon.kernels.visual_mixer import DEFAULT_VFE, vfe
from stream_anon.recipes import preset

Tell = Callable[[str], None]
Figures = dict[str, dict[str, Any]]

DEFAULT = Recipe(DEFAULT_VFE)
GUARDED = (DEFAULT, Recipe(120.0), Recipe(60.0), Recipe(80.0), Recipe(None))
"""Windows of at least half a region: the product's own rule."""

BARE = (
    Recipe(105.0, 2),
    Recipe(120.0, 2),
    Recipe(90.0, 2),
    Recipe(60.0, 2, 0.0),
    Recipe(60.0, None, 0.0),
    Recipe(70.0, None, 0.0),
)
"""Windows from 2 px on, where VFE alone decides; and no channel changes."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        train: UTK pictures for training.
        test: UTK pictures for testing.
        epochs: passes over them.
        pairs: LFW pairs of each kind with a mixed probe.
        shown: pictures shown to the detector.
        others: pictures of other people for the attackers that learn.
    """

    train: int = 10000
    test: int = 4000
    epochs: int = 5
    pairs: int = 400
    shown: int = 150
    others: int = 6000


class Bench:
    """The sets, the attackers and the figures so far.

    Args:
        faces: folder with the sets.
        models: folder with the recognisers and the detector.
        work: where figures and embeddings are kept between runs.
        size: how much is measured.
        tell: is told what is being done.
    """

    def __init__(self, faces: Path, models: Path, work: Path, size: Size, tell: Tell) -> None:
        self.faces, self.models, self.work, self.size, self.tell = faces, models, work, size, tell
        work.mkdir(parents=True, exist_ok=True)
        self._file = work / "figures.json"
        self.figures: Figures = {}
        if self._file.is_file():
            self.figures = json.loads(self._file.read_text(encoding="utf-8"))
        self._utk: sets.Labelled | None = None
        self._galleries: list[attacks.Gallery] = []

    def once(self, key: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure what is not known yet, and keep it."""
        if key in self.figures:
            return
        self.tell(key)
        started = time.process_time()
        result = measure()
        result["cpu_seconds"] = round(time.process_time() - started, 1)
        self.figures[key] = result
        temporary = self._file.with_suffix(".partial")
        temporary.write_text(json.dumps(self.figures, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(self._file)

    # -- accuracy -----------------------------------------------------------------------------

    def utility(
        self, recipe: Recipe | None, optimiser: str, seed: int = 0, longer: int = 1
    ) -> dict[str, Any]:
        """Test accuracy of every task, trained and tested on the same kind of picture.

        Args:
            recipe: how pictures are mixed; None leaves them clear.
            optimiser: ``adam`` or ``st-adam``.
            seed: of weights and order.
            longer: so many times the usual epochs.
        """
        if self._utk is None:
            self._utk = sets.read_utk(self.faces, self.size.train, self.size.test)
        result: dict[str, Any] = {}
        usual = self.size.epochs * longer
        for data, epochs in ((self._utk, usual), (sets.read_digits(), 4 * usual)):
            result |= self._accuracy(data, recipe, optimiser, epochs, seed)
        return result

    def _accuracy(
        self, data: sets.Labelled, recipe: Recipe | None, optimiser: str, epochs: int, seed: int
    ) -> dict[str, Any]:
        from stream_anon.evaluation import mixer_nets as nets

        pictures, mean_vfe = sets.mixed(data.pictures, recipe)
        if pictures.shape[1] == 128:
            pictures = sets.cut(pictures)
        how = nets.Training(
            epochs=epochs,
            optimiser="adam" if optimiser == "adam" else "st-adam",
            seed=seed,
            flip=data.name != "digits",
        )
        net = nets.train(
            lambda: nets.Reader(sum(data.classes)),
            pictures[: data.train],
            data.labels[: data.train],
            nets.classes(data.classes),
            how,
            self.tell,
        )
        output = nets.answers(net, pictures[data.train :])
        wanted = data.labels[data.train :]
        result: dict[str, Any] = {f"vfe {data.name}": mean_vfe}
        start = 0
        for i, (task, count) in enumerate(zip(data.tasks, data.classes, strict=True)):
            hits = output[:, start : start + count].argmax(axis=1) == wanted[:, i]
            result[task] = float(hits.mean())
            start += count
        return result

    # -- attackers ----------------------------------------------------------------------------

    def lfw(self) -> tuple[FaceSet, Pairs, Pairs]:
        """The set, all its pairs, and those with a mixed probe."""
        faces = read_faces(self.faces / "lfw_dev_128.tar")
        pairs = read_pairs(self.faces / "lfw_dev_pairs.csv", faces)
        return faces, pairs, pairs.take(self.size.pairs)

    def galleries(self) -> list[attacks.Gallery]:
        """The clear side of every recogniser."""
        if not self._galleries:
            faces, pairs, _ = self.lfw()
            specs = sorted((preset("redact").parent / "attackers").glob("*.yaml"))
            for attacker in load_attackers(specs, self.models):
                self.tell(f"clear embeddings of {attacker.name}")
                self._galleries.append(attacks.gallery(attacker, faces, pairs, self.work))
        return self._galleries

    def leak(self, recipe: Recipe | None) -> dict[str, Any]:
        """What recognisers and a detector make of mixed probes, as they are and blurred."""
        faces, _, pairs = self.lfw()
        rows = np.unique(pairs.b)
        clear = faces.pictures(rows)
        probes, mean_vfe = sets.mixed(clear, recipe)
        result: dict[str, Any] = {"vfe": mean_vfe or float(np.mean([vfe(p) for p in clear]))}
        blurred = attacks.smoothed(probes)
        for known in self.galleries():
            for how, shown in (("", probes), (" blurred", blurred)):
                tar, eer = attacks.verification(known, shown, rows, pairs)
                result[f"tar {known.attacker.name}{how}"] = asdict(tar)
                result[f"eer {known.attacker.name}{how}"] = eer
            result[f"clear tar {known.attacker.name}"] = asdict(known.tar)
        finder = Finder("yunet", self.models)
        shown_rows = list(probes[: self.size.shown])
        result["detector recall"] = asdict(attacks.found(finder, shown_rows))
        return result

    def _others(
        self, recipe: Recipe | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Recogniser, NDArray[np.float32]]:
        """Mixed faces of other people's faces, the clear ones, and their embeddings."""
        people = read_faces(self.faces / "celeba_wild_128.tar")
        rows = np.arange(min(self.size.others, len(people)))
        clear = people.pictures(rows)
        attacker = self.galleries()[-1].attacker
        file = self.work / f"others_{attacker.fingerprint}_{len(rows)}.npy"
        if not file.is_file():
            self.tell(f"embeddings of other people by {attacker.name}")
            np.save(file, attacker.embed(clear))
        return sets.cut(sets.mixed(clear, recipe)[0]), clear, attacker, np.load(file)

    def retrained(self, recipe: Recipe | None) -> dict[str, Any]:
        """A recogniser that learns, on mixed faces of other people, where a clear one lies."""
        from stream_anon.evaluation import mixer_nets as nets

        shown, _, attacker, codes = self._others(recipe)
        net = nets.train(
            lambda: nets.Reader(codes.shape[1]),
            shown,
            codes,
            nets.direction,
            nets.Training(epochs=self.size.epochs),
            self.tell,
        )
        faces, _, pairs = self.lfw()
        rows = np.unique(pairs.b)
        probes = sets.cut(sets.mixed(faces.pictures(rows), recipe)[0])
        learnt = nets.answers(net, probes)
        learnt /= np.maximum(np.linalg.norm(learnt, axis=1, keepdims=True), 1e-9)
        known = self.galleries()[-1]
        tar, eer = attacks.compared(known, learnt, rows, pairs)
        own = attacks.own_threshold(known, learnt, rows, pairs, 0.01)
        return {
            "teacher": attacker.name,
            "tar": asdict(tar),
            "eer": eer,
            "tar far 0.01": asdict(own),
        }

    def unmixed(self, recipe: Recipe) -> dict[str, Any]:
        """A network that learns to undo the mixing, and what recognisers make of its pictures."""
        from stream_anon.evaluation import mixer_nets as nets

        shown, clear, _, _ = self._others(recipe)
        wanted = sets.cut(clear)
        net = nets.train(
            nets.Restorer,
            shown,
            wanted,
            nets.nearness,
            nets.Training(epochs=self.size.epochs),
            self.tell,
        )
        faces, _, pairs = self.lfw()
        rows = np.unique(pairs.b)
        original = faces.pictures(rows)
        probes = sets.mixed(original, recipe)[0]
        guess = nets.answers(net, sets.cut(probes)).transpose(0, 2, 3, 1)
        pictures = np.full_like(original, 128)
        inner = slice(sets.MARGIN, -sets.MARGIN)
        pictures[:, inner, inner] = np.clip(np.rint(guess * 255.0), 0, 255).astype(np.uint8)
        result: dict[str, Any] = {
            "psnr": attacks.psnr(pictures[:, inner, inner], original[:, inner, inner]),
            "psnr of blurring": attacks.psnr(
                attacks.smoothed(probes)[:, inner, inner], original[:, inner, inner]
            ),
        }
        for known in self.galleries():
            tar, eer = attacks.verification(known, pictures, rows, pairs)
            result[f"tar {known.attacker.name}"] = asdict(tar)
            result[f"eer {known.attacker.name}"] = eer
        return result

    def known_pairs(self) -> dict[str, Any]:
        """Recovery of a permutation, reused and fresh."""
        faces, _, _ = self.lfw()
        pictures = sets.cut(faces.pictures(range(0, 340, 20)))
        result: dict[str, Any] = {}
        for known in (1, 2, 4, 8, 16):
            for reuse in (True, False):
                name = f"{'reused' if reuse else 'fresh'} {known}"
                result[name] = attacks.recovered(pictures[: known + 1], known, reuse=reuse)
        return result


def run(
    faces: Path,
    models: Path,
    out: Path | None = None,
    work: Path | None = None,
    size: Size | None = None,
    tell: Tell = click.echo,
) -> Section:
    """Measure whatever is not known yet, in the order of its weight.

    Args:
        faces: folder with ``utk_128_*.tar``, ``lfw_dev_128.tar``, its pairs and
            ``celeba_wild_128.tar``.
        models: folder with the recognisers of ``configs/attackers`` and YuNet.
        out: folder for ``visual_mixer.json``, ``.md`` and ``.svg``; None writes nothing.
        work: folder for figures so far and embeddings (biometric data: keep it beside the sets).
        size: how much is measured.
        tell: is told what is being done.

    Raises:
        InputError: a set is missing, or torch or scikit-learn is not installed.
        ModelError: a network is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "the mixer's measurements need torch: install the extra 'train'"
        ) from error
    torch.set_num_threads(1)
    bench = Bench(faces, models, work or Path("runs/mixer"), size or Size(), tell)

    def publish() -> Section:
        result = section(bench.figures, asdict(bench.size))
        if out is not None:
            write(result, bench.figures, asdict(bench.size), out)
        return result

    def leak(*recipes: Recipe | None) -> None:
        for recipe in recipes:
            bench.once(f"leak: {recipe or 'clear'}", lambda r=recipe: bench.leak(r))  # type: ignore[misc]

    def utility(*runs: tuple[Recipe | None, str, int]) -> None:
        for recipe, optimiser, seed in runs:
            bench.once(
                f"utility: {recipe or 'clear'}, {optimiser}, seed {seed}",
                lambda r=recipe, o=optimiser, s=seed: bench.utility(r, o, s),  # type: ignore[misc]
            )
            publish()

    def longer(*recipes: Recipe | None) -> None:
        for recipe in recipes:
            bench.once(
                f"utility: {recipe or 'clear'}, st-adam twice as long, seed 0",
                lambda r=recipe: bench.utility(r, "st-adam", longer=2),  # type: ignore[misc]
            )
            publish()

    # What the claims rest on comes first, so that a run that is cut short has it.
    bench.once("known pairs", bench.known_pairs)
    leak(None, DEFAULT)
    utility((None, "st-adam", 0), (DEFAULT, "st-adam", 0))
    leak(*GUARDED, *BARE)
    utility((DEFAULT, "adam", 0))
    bench.once(f"retrained: {DEFAULT}", lambda: bench.retrained(DEFAULT))
    bench.once(f"unmixed: {DEFAULT}", lambda: bench.unmixed(DEFAULT))
    bench.once("retrained: clear", lambda: bench.retrained(None))
    longer(None, DEFAULT)
    utility((Recipe(70.0, None, 0.0), "st-adam", 0))
    utility((Recipe(120.0), "st-adam", 0), (Recipe(60.0), "st-adam", 0))
    utility((Recipe(105.0, 2), "st-adam", 0), (None, "adam", 0), (Recipe(None), "st-adam", 0))
    utility((None, "st-adam", 1), (DEFAULT, "st-adam", 1), (Recipe(80.0), "st-adam", 0))
    utility((Recipe(120.0, 2), "st-adam", 0), (Recipe(90.0, 2), "st-adam", 0))
    utility((Recipe(60.0, 2, 0.0), "st-adam", 0))
    return publish()


@click.command()
@click.option("--faces", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--models", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the table and the plot.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/mixer"))
@click.option("--quick", is_flag=True, help="A small run that only shows that all of it works.")
def main(faces: Path, models: Path, out: Path | None, work: Path, quick: bool) -> None:
    """Measure VisualMixer: accuracy on mixed pictures against what attackers get."""
    size = Size(256, 128, 1, 40, 8, 256) if quick else Size()
    run(faces, models, out, work, size, click.echo)


if __name__ == "__main__":
    main()
