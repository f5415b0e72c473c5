"""The mixer's figures as tables, a plot and a page in Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import OutputError
from stream_anon.evaluation.reporting.plot import svg
from stream_anon.evaluation.reporting.report import Column, Line, Plot, Section, Table
from stream_anon.evaluation.scores import Estimate

Figures = dict[str, dict[str, Any]]
Floats = NDArray[np.float64]

TASKS = ("gender", "age band", "digit")

STYLE = (
    "<style>text{font:11px sans-serif;fill:#666}.e{text-anchor:end}.m{text-anchor:middle}"
    ".g{stroke:#8884}polyline{stroke-width:1.8}</style>"
)

TEXT = (
    "The same small network is trained and tested on clear images, and on images mixed once "
    "each with a key of the operating system. UTK: gender and four age bands, one network; digits: "
    "scikit-learn's, enlarged to 32 px. Attackers compare clear images with mixed ones of LFW "
    "(clear gallery, mixed probe); the threshold is that of FAR 1e-3 on clear pairs, 'blurred' is "
    "the same attacker after a Gaussian blur of 3 px. VFE is our working definition and a measure "
    "of visibility: no privacy guarantee follows from it."
)


def _estimate(value: Any) -> Estimate | None:
    return Estimate(**value) if isinstance(value, dict) else None


def _named(figures: Figures, kind: str) -> list[tuple[str, dict[str, Any]]]:
    prefix = f"{kind}: "
    return [(k.removeprefix(prefix), v) for k, v in figures.items() if k.startswith(prefix)]


def _order(name: str, vfe: float) -> tuple[bool, bool, float]:
    return (name != "clear", "windows" in name, vfe)


def accuracy(figures: Figures) -> Table:
    """Accuracy clear and mixed, and the mean loss in points."""
    table = Table(
        "Accuracy of one small network, trained and tested on the same kind of image",
        [
            Column("images, optimiser, seed"),
            Column("VFE (UTK)", "number"),
            *(Column(task, "percent") for task in TASKS),
            Column("mean loss, points", "number"),
        ],
        note="The loss is against clear images with the same optimiser, length and seed where "
        "they were measured, else against ST-Adam's. With this many test images the loss of one "
        "training has a standard error of about 0.4 points.",
    )
    rows = dict(_named(figures, "utility"))
    for name, found in sorted(rows.items(), key=lambda r: _order(r[0], r[1]["vfe UTK"])):
        recipe, optimiser, seed = name.rsplit(", ", 2)
        clear = rows.get(f"clear, {optimiser}, {seed}") or rows.get(f"clear, st-adam, {seed}")
        loss = None
        if clear is not None and recipe != "clear":
            loss = _gain(clear, found)
        table.add(name, found["vfe UTK"] or None, *(found[t] for t in TASKS), loss)
    return table


def _gain(clear: dict[str, Any], mixed: dict[str, Any]) -> float:
    """Mean loss over the tasks, in points."""
    return 100.0 * float(sum(clear[t] - mixed[t] for t in TASKS)) / len(TASKS)


def _hits(found: dict[str, Any], task: str) -> Floats:
    packed = np.frombuffer(bytes.fromhex(found[f"hits {task}"]), np.uint8)
    return np.unpackbits(packed)[: found[f"count {task}"]].astype(np.float64)


def _uncertainty(runs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> float | None:
    """Half the 95 % interval of the mean loss in points, from pairs (clear, mixed) of one seed.

    Two parts are added as squares: that of the test images, compared one by one and tasks on
    the same images together, and that of the seeds. None where hits were not kept.
    """
    kept = [run for run in runs if all(f"hits {t}" in found for found in run for t in TASKS)]
    if len(runs) < 2 or not kept:
        return None
    by_size: dict[int, Floats] = {}
    for task in TASKS:
        apart = np.mean([_hits(clear, task) - _hits(mixed, task) for clear, mixed in kept], axis=0)
        by_size[len(apart)] = by_size.get(len(apart), np.zeros(len(apart))) + apart
    square = sum(float(a.var(ddof=1)) / len(a) for a in by_size.values()) / len(TASKS) ** 2
    seeds = float(np.var([_gain(*run) for run in runs], ddof=1)) / len(runs)
    return 1.96 * math.sqrt(1e4 * square + seeds)


def means(figures: Figures) -> Table:
    """The mean over seeds and how sure it is."""
    table = Table(
        "The mean over several trainings",
        [
            Column("images, optimiser"),
            Column("trainings", "number"),
            *(Column(task, "percent") for task in TASKS),
            Column("mean loss, points", "number"),
            Column("95 % interval, +-", "number"),
            Column("least and greatest of one training"),
        ],
        note="Each loss is that of two trainings with the same seed, one on clear images and one "
        "on mixed. The interval holds the test images, compared one by one, and the seeds; it "
        "says nothing of other sets, tasks or networks.",
    )
    rows = dict(_named(figures, "utility"))
    groups: dict[str, list[str]] = {}
    for name in rows:
        kind, _, seed = name.rpartition(", ")
        groups.setdefault(kind, []).append(seed)
    for kind, seeds in sorted(groups.items(), key=lambda g: not g[0].startswith("clear")):
        if len(seeds) < 2:
            continue
        some = [rows[f"{kind}, {seed}"] for seed in seeds]
        clear = kind.rpartition(", ")[2].join(("clear, ", ""))
        pairs_ = [
            (rows[f"{clear}, {seed}"], rows[f"{kind}, {seed}"])
            for seed in seeds
            if f"{clear}, {seed}" in rows
        ]
        losses = [_gain(*pair) for pair in pairs_]
        mixed_too = kind != clear and losses
        table.add(
            kind,
            len(seeds),
            *(float(np.mean([found[t] for found in some])) for t in TASKS),
            float(np.mean(losses)) if mixed_too else None,
            _uncertainty(pairs_) if mixed_too else None,
            f"{min(losses):.2f} to {max(losses):.2f}" if mixed_too else None,
        )
    return table


def targets(figures: Figures) -> Table:
    """Whether images reach their target."""
    table = Table(
        "Target: how many images can reach it, and how near those come that can",
        [
            Column("images"),
            Column("target VFE", "number"),
            Column("count", "number"),
            Column("within reach", "percent"),
            Column("of these within 2 %", "percent"),
            Column("mean error", "percent"),
            Column("largest error", "percent"),
        ],
        note="A target is within reach if it lies between the VFE of the weakest shuffle and that "
        "of the full one with the same key; the others are shuffled as weakly or as fully as can "
        "be. 'Later faces' are shuffled as the first face of "
        "their track was, so that their VFE moves with the face; their errors are against the "
        "target, for tracks whose first face could reach it.",
    )
    for name, found in _named(figures, "target"):
        images, _, target = name.rpartition(", ")
        table.add(
            images,
            float(target),
            found["count"],
            found["reachable"] / max(found["count"], 1),
            found["met"] / max(found["reachable"], 1),
            found["mean error"],
            found["largest error"],
        )
    return table


def leaks(figures: Figures) -> Table:
    """Verification and detection of mixed faces."""
    first = next(iter(_named(figures, "leak")), ("", {}))[1]
    names = sorted(k.removeprefix("clear tar ") for k in first if k.startswith("clear tar "))
    columns = [Column("images"), Column("VFE", "number")]
    for name in names:
        columns += [Column(f"TAR {name}", "percent"), Column("blurred", "percent")]
        columns += [Column(f"EER {name}", "percent"), Column("blurred", "percent")]
    columns.append(Column("detector recall", "percent"))
    table = Table(
        "What recognisers and a detector make of mixed faces",
        columns,
        note="The default is the mean over several mixings with fresh keys, since which few faces "
        "are named hangs on the keys; the other rows are one mixing each.",
    )
    rows = _named(figures, "leak")
    for name, found in sorted(rows, key=lambda r: _order(r[0], r[1]["vfe"])):
        cells: list[Any] = [name, found["vfe"]]
        for who in names:
            cells += [_estimate(found[f"tar {who}"]), _estimate(found[f"tar {who} blurred"])]
            cells += [found[f"eer {who}"], found[f"eer {who} blurred"]]
        table.add(*cells, _estimate(found["detector recall"]))
    return table


def candidates(figures: Figures) -> Table:
    """What the default was chosen among."""
    rows = _named(figures, "candidate")
    names = sorted(k for k in (rows[0][1] if rows else {}) if k.startswith("tar "))
    titles = [Column(f"TAR {name.removeprefix('tar ')}", "percent") for name in names]
    table = Table(
        "Among which the default was chosen",
        [Column("images"), Column("VFE", "number"), *titles],
        note="LFW pairs that no other table uses. The default is the least VFE of these at which "
        "both recognisers name less than 1 %.",
    )
    for name, found in sorted(rows, key=lambda r: r[1]["vfe"]):
        table.add(name, found["vfe"], *(_estimate(found[key]) for key in names))
    return table


def learners(figures: Figures) -> Table:
    """Attackers that were trained on mixed faces of other people."""
    table = Table(
        "Attackers that learn on mixed faces of other people",
        [
            Column("attacker"),
            Column("EER", "percent"),
            Column("TAR at FAR 1e-2", "percent"),
            Column("TAR at clear threshold", "percent"),
        ],
        note="'Retrained' learns to find a clear embedding in a mixed image, and knows how "
        "images are mixed but no key; its FAR of 1e-2 is set on mixed pairs. Its row 'clear' "
        "shows what so small a network can learn at all. 'Un-mixer' learns to paint the clear "
        "image, which a recogniser is then shown.",
    )
    for name, found in _named(figures, "retrained"):
        table.add(
            f"retrained, {name}",
            found["eer"],
            _estimate(found["tar far 0.01"]),
            _estimate(found["tar"]),
        )
    for name, found in _named(figures, "unmixed"):
        for key in sorted(k for k in found if k.startswith("eer ")):
            who = key.removeprefix("eer ")
            table.add(f"un-mixer, {name}, {who}", found[key], None, _estimate(found[f"tar {who}"]))
    return table


def pairs(figures: Figures) -> Table:
    """Recovery of a permutation from known pairs."""
    table = Table(
        "Pixels of an unseen image put back in place by known clear and mixed pairs",
        [
            Column("known pairs", "number"),
            Column("key reused", "percent"),
            Column("fresh keys", "percent"),
        ],
        note="Full shuffle at 112 px. Guessing within a region of 256 pixels gives 0.4 %.",
    )
    found = figures.get("known pairs", {})
    for known in (1, 2, 4, 8, 16):
        if f"reused {known}" in found:
            table.add(known, found[f"reused {known}"], found[f"fresh {known}"])
    return table


def curve(figures: Figures) -> Plot | None:
    """Accuracy and leak over VFE."""
    utility: dict[str, float] = {}
    for kind in {n.rsplit(", ", 1)[0] for n, _ in _named(figures, "utility")}:
        recipe, _, optimiser = kind.rpartition(", ")
        if optimiser == "st-adam":
            runs = [v for n, v in _named(figures, "utility") if n.rsplit(", ", 1)[0] == kind]
            utility[recipe] = float(np.mean([100.0 * run[t] for run in runs for t in TASKS]))
    leak = dict(_named(figures, "leak"))
    if "clear" not in utility or "clear" not in leak:
        return None
    lines = []
    for title, wanted in (("", False), (", from 2 px", True)):
        names = [
            n
            for n in leak
            if n == "clear" or (("windows from 2" in n) is wanted and "channels" not in n)
        ]
        names.sort(key=lambda n: leak[n]["vfe"])
        seen = [n for n in names if n in utility]
        spots = [(leak[n]["vfe"], utility[n]) for n in seen]
        if len(spots) > 1:
            lines.append(Line(f"accuracy{title}", spots))
        for key in sorted(k for k in leak["clear"] if k.startswith("tar ") and "blurred" not in k):
            spots = [(leak[n]["vfe"], 100.0 * leak[n][key]["value"]) for n in names]
            who = key.removeprefix("tar ").split("_")[-1]
            lines.append(Line(f"TAR {who}{title}", spots, dashed=wanted))
    return Plot("Accuracy and leak over VFE", "VFE", "mean accuracy, TAR at FAR 1e-3 (%)", lines)


def section(figures: Figures, size: dict[str, Any]) -> Section:
    """Everything measured so far."""
    tables = [
        t
        for t in (
            means(figures),
            accuracy(figures),
            leaks(figures),
            candidates(figures),
            targets(figures),
            learners(figures),
            pairs(figures),
        )
        if t.rows
    ]
    plot = curve(figures)
    text = f"{TEXT} {size['train']} UTK images for training, {size['test']} for testing."
    return Section("mixer", "VisualMixer", text, tables, [plot] if plot else [])


def _cell(value: Any, unit: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Estimate):
        return f"{100 * value.value:.1f} ({100 * value.low:.1f}-{100 * value.high:.1f})"
    if unit == "percent":
        return f"{100 * value:.1f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(result: Section) -> str:
    """The section as a page."""
    parts = [f"# {result.title}: what it costs and what it hides", "", result.text, ""]
    for plot in result.plots:
        parts += [f"![{plot.title}](visual_mixer.svg)", ""]
    for table in result.tables:
        titles = [c.title + (" (%)" if c.unit == "percent" else "") for c in table.columns]
        parts += [f"## {table.title}", "", "| " + " | ".join(titles) + " |"]
        parts.append("|---" * len(titles) + "|")
        for row in table.rows:
            cells = [_cell(v, c.unit) for v, c in zip(row, table.columns, strict=True)]
            parts.append("| " + " | ".join(cells) + " |")
        parts += ["", table.note, ""] if table.note else [""]
    return "\n".join(parts).rstrip() + "\n"


def write(result: Section, figures: Figures, size: dict[str, Any], out: Path) -> None:
    """Write ``visual_mixer.json``, ``.md`` and ``.svg``.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        data = {"size": size, "figures": figures}
        text = json.dumps(data, indent=1, sort_keys=True) + "\n"
        (out / "visual_mixer.json").write_text(text, encoding="utf-8")
        (out / "visual_mixer.md").write_text(markdown(result), encoding="utf-8")
        for plot in result.plots:
            drawn = svg(plot).replace(">", ">" + STYLE, 1)
            (out / "visual_mixer.svg").write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error})") from error
