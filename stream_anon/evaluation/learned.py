"""The tables of attackers that learn: parrots and the reconstructor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from stream_anon.evaluation import parrot as parrots
from stream_anon.evaluation import reconstruct as reconstructors
from stream_anon.evaluation import scores
from stream_anon.evaluation.attacker import Embeddings
from stream_anon.evaluation.condition import Condition
from stream_anon.evaluation.faceset import Pairs
from stream_anon.evaluation.lessons import School, shrunk
from stream_anon.evaluation.privacy_table import label
from stream_anon.evaluation.protocol import Stand, impostor_scores
from stream_anon.evaluation.report import Cell, Column, Section, Sheet, Table
from stream_anon.evaluation.still import anonymise

Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def parrot(
    stand: Stand,
    pairs: Pairs,
    conditions: Sequence[Condition],
    school: School,
    threads: int,
    tell: Callable[[str], None],
) -> Section:
    """Recognisers fine-tuned, and one trained, on our output of other people."""
    torch.set_num_threads(threads)
    table = Table(
        "Attackers that learned from our output",
        [
            Column("condition"),
            Column("pupil"),
            Column("EER %, clear gallery", "percent"),
            Column("TAR@1e-3 %, clear gallery", "percent"),
            Column("EER %, anonymised gallery", "percent"),
            Column("EER % clear to clear", "percent"),
            Column("EER % on held-out people", "percent"),
            Column("rounds", "number"),
        ],
        note="Clear to clear: what the pupil can still do with clear pictures. Held-out people "
        "are of the set it learned from, and decided when learning ended; 0 rounds means that "
        "learning made it no better there.",
    )
    a_rows, b_rows = np.unique(pairs.a), np.unique(pairs.b)
    clear_a, clear_b = stand.faces.pictures(a_rows), stand.faces.pictures(b_rows)
    for condition in conditions:
        lessons = school.lessons(condition)
        tell(f"parrot: {condition}")
        method = condition.build()
        try:
            new_b = anonymise(method, clear_b, stand.landmarks[b_rows]).pictures
            new_a = anonymise(method, clear_a, stand.landmarks[a_rows], len(b_rows) + 1).pictures
        finally:
            method.close()
        for attacker in stand.attackers:
            pupil = parrots.adapter(lessons, attacker.name)
            known = stand.clear.embeddings[attacker.name]
            shown = (known[a_rows], known[b_rows], attacker.embed(new_a), attacker.embed(new_b))
            views = [pupil.embed(view) for view in shown]
            cells = _cells(stand, pairs, a_rows, b_rows, views)
            name = f"{attacker.name} + adapter"
            table.add(label(condition), name, *cells, pupil.held_out, pupil.rounds)
        pupil = parrots.from_scratch(lessons)
        views = [pupil.embed(shrunk(p)) for p in (clear_a, clear_b, new_a, new_b)]
        cells = _cells(stand, pairs, a_rows, b_rows, views)
        table.add(label(condition), "net from scratch", *cells, pupil.held_out, pupil.rounds)
    return Section(
        "parrot",
        "Parrot attack",
        "Each pupil learned identities from clear and anonymised pictures of other people, "
        "anonymised by the very method under test, each picture as a track of its own.",
        [table],
    )


def reconstruct(
    stand: Stand,
    pairs: Pairs,
    conditions: Sequence[Condition],
    school: School,
    threads: int,
    tell: Callable[[str], None],
) -> Section:
    """Re-identification of what a learned reconstructor makes of anonymised faces."""
    torch.set_num_threads(threads)
    columns = [Column("condition")]
    for attacker in stand.attackers:
        columns.append(Column(f"{attacker.name}: EER %", "percent"))
        columns.append(Column("TAR@1e-3 %", "percent"))
    table = Table("Reconstructed probe against clear gallery", columns)
    sheet = Sheet("Original, anonymised, reconstructed", [], [])
    index = np.unique(pairs.b)
    clear = stand.faces.pictures(index)
    place = np.searchsorted(index, pairs.b)
    for condition in conditions:
        lessons = school.lessons(condition)
        tell(f"reconstruct: {condition}")
        net = reconstructors.teach(lessons)
        method = condition.build()
        try:
            new = anonymise(method, clear, stand.landmarks[index]).pictures
        finally:
            method.close()
        made = reconstructors.rebuild(net, new)
        cells: list[Cell] = []
        for attacker in stand.attackers:
            probes = attacker.embed(made)[place]
            gallery = stand.clear.embeddings[attacker.name][pairs.a]
            alike = np.einsum("nd,nd->n", gallery, probes)
            same, other = alike[pairs.same], alike[~pairs.same]
            cells.append(scores.equal_error_interval(same, other))
            cells.append(scores.accepted(same, stand.thresholds[attacker.name][1]))
        table.add(label(condition), *cells)
        step = max(1, len(new) // 9)
        for name, row in (("original", clear), (label(condition), new), ("reconstructed", made)):
            sheet.labels.append(name)
            sheet.rows.append(list(row[::step][:9]))
    return Section(
        "reconstruct",
        "Learned reconstruction",
        "A small U-Net learned from pairs of other people (anonymised, clear) at 64 px. It does "
        "not know the code.",
        [table],
        sheets=[sheet],
    )


def _cells(
    stand: Stand, pairs: Pairs, a_rows: Rows, b_rows: Rows, views: Sequence[Embeddings]
) -> list[Cell]:
    clear_a, clear_b, new_a, new_b = views
    a, b = np.searchsorted(a_rows, pairs.a), np.searchsorted(b_rows, pairs.b)
    same = pairs.same
    # The pupil's own threshold, on clear pictures of different people.
    far = scores.threshold_at(impostor_scores(clear_b, stand.people[b_rows]), 1e-3)
    against = np.einsum("nd,nd->n", clear_a[a], new_b[b])
    linked = np.einsum("nd,nd->n", new_a[a], new_b[b])
    ceiling = np.einsum("nd,nd->n", clear_a[a], clear_b[b])
    return [
        scores.equal_error_interval(against[same], against[~same]),
        scores.accepted(against[same], far),
        scores.equal_error_interval(linked[same], linked[~same]),
        scores.equal_error(ceiling[same], ceiling[~same]),
    ]
