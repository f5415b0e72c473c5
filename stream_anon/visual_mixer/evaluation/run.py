"""What mixing costs a network and what it hides: accuracy, attackers, one table, one plot.

    python -m stream_anon.visual_mixer.evaluation.run --faces DIR --models DIR --out docs/results

Every measurement is kept in a JSON as soon as it is done; a stopped run goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import InputError
from stream_anon.evaluation.attackers.loading import load_recognisers
from stream_anon.evaluation.attackers.recogniser import Recogniser
from stream_anon.evaluation.data.face_set import FaceSet, Pairs, read_faces, read_pairs
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.reporting.report import Section
from stream_anon.evaluation.scores import Estimate, share
from stream_anon.recipes import preset
from stream_anon.visual_mixer.evaluation import attacks, sets, target
from stream_anon.visual_mixer.evaluation.plan import (
    BARE,
    CANDIDATES,
    DEFAULT,
    GUARDED,
    QUICK,
    SEEDS,
    TARGETS,
    Size,
)
from stream_anon.visual_mixer.evaluation.report import section, write
from stream_anon.visual_mixer.evaluation.sets import Recipe
from stream_anon.visual_mixer.mix import DEFAULT_VFE

Tell = Callable[[str], None]
Figures = dict[str, dict[str, Any]]


class MixerEvaluation:
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
        """Test accuracy of every task, trained and tested on the same kind of image.

        Args:
            recipe: how images are mixed; None leaves them clear.
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
        from stream_anon.visual_mixer.evaluation import nets
        images, mean_vfe = sets.mixed(data.images, recipe)
        if images.shape[1] == 128:
            images = sets.cut(images)
        how = nets.Training(
            epochs=epochs,
            optimiser="adam" if optimiser == "adam" else "st-adam",
            seed=seed,
            flip=data.name != "digits",
        )
        net = nets.train(
            lambda: nets.Reader(sum(data.classes)),
            images[: data.train],
            data.labels[: data.train],
            nets.classes(data.classes),
            how,
            self.tell,
        )
        output = nets.answers(net, images[data.train :])
        wanted = data.labels[data.train :]
        result: dict[str, Any] = {f"vfe {data.name}": mean_vfe}
        start = 0
        for i, (task, count) in enumerate(zip(data.tasks, data.classes, strict=True)):
            hits = output[:, start : start + count].argmax(axis=1) == wanted[:, i]
            result[task] = float(hits.mean())
            # Which images were right, so that two networks can be compared image by image.
            result[f"hits {task}"] = np.packbits(hits).tobytes().hex()
            result[f"count {task}"] = len(hits)
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
            for attacker in load_recognisers(specs, self.models):
                self.tell(f"clear embeddings of {attacker.name}")
                self._galleries.append(attacks.gallery(attacker, faces, pairs, self.work))
        return self._galleries

    def leak(self, recipe: Recipe | None) -> dict[str, Any]:
        """What recognisers and a detector make of mixed probes, as they are and blurred.

        The default is mixed several times: which few faces are named hangs on the keys.
        """
        faces, _, pairs = self.lfw()
        rows = np.unique(pairs.b)
        clear = faces.images(rows)
        finder, known = Finder("yunet", self.models), self.galleries()
        draws = [
            attacks.probed(clear, rows, pairs, recipe, known, finder, self.size.shown)
            for _ in range(self.size.draws if recipe == DEFAULT else 1)
        ]
        result: dict[str, Any] = {"draws": len(draws)}
        for key, first in draws[0].items():
            if isinstance(first, Estimate):
                hits = float(np.mean([d[key].value for d in draws])) * first.count
                result[key] = asdict(share(hits, first.count))
            else:
                result[key] = float(np.mean([d[key] for d in draws]))
        return result

    def candidate(self, recipe: Recipe) -> dict[str, Any]:
        """TAR of both recognisers on the pairs that no other measurement uses."""
        faces, pairs, shown = self.lfw()
        others = attacks.without(pairs, shown, self.size.further)
        rows = np.unique(others.b)
        probes, mean_vfe = sets.mixed(faces.images(rows), recipe)
        result: dict[str, Any] = {"vfe": mean_vfe}
        for known in self.galleries():
            tar, eer = attacks.verification(known, probes, rows, others)
            result[f"tar {known.attacker.name}"] = asdict(tar)
            result[f"eer {known.attacker.name}"] = eer
        return result

    def _others(
        self, recipe: Recipe | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Recogniser, NDArray[np.float32]]:
        """Mixed faces of other people's faces, the clear ones, and their embeddings."""
        people = read_faces(self.faces / "celeba_wild_128.tar")
        rows = np.arange(min(self.size.others, len(people)))
        clear = people.images(rows)
        attacker = self.galleries()[-1].attacker
        file = self.work / f"others_{attacker.fingerprint}_{len(rows)}.npy"
        if not file.is_file():
            self.tell(f"embeddings of other people by {attacker.name}")
            np.save(file, attacker.embed(clear))
        return sets.cut(sets.mixed(clear, recipe)[0]), clear, attacker, np.load(file)

    def retrained(self, recipe: Recipe | None) -> dict[str, Any]:
        """A recogniser that learns, on mixed faces of other people, where a clear one lies."""
        from stream_anon.visual_mixer.evaluation import nets

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
        probes = sets.cut(sets.mixed(faces.images(rows), recipe)[0])
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
        """A network that learns to undo the mixing, and what recognisers make of its images."""
        from stream_anon.visual_mixer.evaluation import nets

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
        original = faces.images(rows)
        probes = sets.mixed(original, recipe)[0]
        guess = nets.answers(net, sets.cut(probes)).transpose(0, 2, 3, 1)
        images = np.full_like(original, 128)
        inner = slice(sets.MARGIN, -sets.MARGIN)
        images[:, inner, inner] = np.clip(np.rint(guess * 255.0), 0, 255).astype(np.uint8)
        result: dict[str, Any] = {
            "psnr": attacks.psnr(images[:, inner, inner], original[:, inner, inner]),
            "psnr of blurring": attacks.psnr(
                attacks.smoothed(probes)[:, inner, inner], original[:, inner, inner]
            ),
        }
        for known in self.galleries():
            tar, eer = attacks.verification(known, images, rows, pairs)
            result[f"tar {known.attacker.name}"] = asdict(tar)
            result[f"eer {known.attacker.name}"] = eer
        return result

    def known_pairs(self) -> dict[str, Any]:
        """Recovery of a permutation, reused and fresh."""
        faces, _, _ = self.lfw()
        images = sets.cut(faces.images(range(0, 340, 20)))
        result: dict[str, Any] = {}
        for known in (1, 2, 4, 8, 16):
            for reuse in (True, False):
                name = f"{'reused' if reuse else 'fresh'} {known}"
                result[name] = attacks.recovered(images[: known + 1], known, reuse=reuse)
        return result

    def target_of(self, name: str, wanted: float) -> dict[str, Any]:
        """Whether the faces of a set reach a target; every so many of them are tried."""
        images: Iterable[NDArray[np.uint8]]
        if name == "digits":
            images = sets.read_digits().images[-self.size.tried :]
        else:
            people = read_faces(self.faces / f"{name}.tar")
            rows = np.linspace(0, len(people) - 1, self.size.tried).astype(int)
            images = sets.cut(people.images(rows))
        return target.reached(images, wanted)

    def target_in(self, clips: Sequence[Path], wanted: float) -> None:
        """The same for whole images and for faces of clips."""
        names = [f"{kind}, {wanted:g}" for kind in ("whole images", "first faces", "later faces")]
        if not clips or all(f"target: {name}" in self.figures for name in names):
            return
        whole = target.whole_images(clips, 4)
        self.once(f"target: {names[0]}", lambda: target.reached(whole, wanted))
        finder = Finder("yunet", self.models)
        found = [t for clip in clips for t in target.tracks(clip, finder, self.size.frames)]
        first, later = target.in_video(found, wanted)
        self.once(f"target: {names[1]}", lambda: first)
        self.once(f"target: {names[2]}", lambda: later)


def run(
    faces: Path,
    models: Path,
    out: Path | None = None,
    work: Path | None = None,
    size: Size | None = None,
    tell: Tell = click.echo,
    clips: Sequence[Path] = (),
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
        clips: videos whose images and faces are tried against the target.

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
    bench = MixerEvaluation(faces, models, work or Path("runs/mixer"), size or Size(), tell)

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
    for name, wanted in TARGETS:
        bench.once(f"target: {name}, {wanted:g}", lambda n=name, w=wanted: bench.target_of(n, w))  # type: ignore[misc]
    bench.target_in(clips, DEFAULT_VFE)
    leak(None, DEFAULT)
    for recipe in CANDIDATES:
        bench.once(f"candidate: {recipe}", lambda r=recipe: bench.candidate(r))  # type: ignore[misc]
    publish()
    for seed in SEEDS:
        utility((None, "st-adam", seed), (DEFAULT, "st-adam", seed))
    utility((Recipe(80.0), "st-adam", 0), (Recipe(None), "st-adam", 0))
    leak(*GUARDED, *BARE)
    bench.once(f"retrained: {DEFAULT}", lambda: bench.retrained(DEFAULT))
    bench.once(f"unmixed: {DEFAULT}", lambda: bench.unmixed(DEFAULT))
    bench.once("retrained: clear", lambda: bench.retrained(None))
    utility((Recipe(60.0), "st-adam", 0), (Recipe(120.0), "st-adam", 0))
    utility((DEFAULT, "adam", 0), (None, "adam", 0), (Recipe(70.0, None, 0.0), "st-adam", 0))
    longer(None, DEFAULT)
    return publish()


@click.command()
@click.option("--faces", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--models", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the table and the plot.")
@click.option("--clips", type=click.Path(path_type=Path, exists=True), help="Folder of videos.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/mixer"))
@click.option("--quick", is_flag=True, help="A small run that only shows that all of it works.")
def main(
    faces: Path, models: Path, out: Path | None, clips: Path | None, work: Path, quick: bool
) -> None:
    """Measure VisualMixer: accuracy on mixed images against what attackers get."""
    videos = sorted(clips.glob("*.m[pk][4v]")) if clips else []
    run(faces, models, out, work, QUICK if quick else None, click.echo, videos)


if __name__ == "__main__":
    main()
