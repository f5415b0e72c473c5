"""The tables of attackers that learn: parrots and the reconstructor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers import parrot as parrots
from stream_anon.evaluation.attackers import reconstruction
from stream_anon.evaluation.attackers.recogniser import Embeddings
from stream_anon.evaluation.attackers.training_set import AttackTrainingSet, shrunk
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.face_set import Pairs
from stream_anon.evaluation.data.stills import anonymise
from stream_anon.evaluation.measures.privacy_table import label
from stream_anon.evaluation.measures.verification import VerificationBench, impostor_scores
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Sheet, Table

Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def parrot(
    verification: VerificationBench,
    pairs: Pairs,
    conditions: Sequence[Condition],
    training_set: AttackTrainingSet,
    threads: int,
    tell: Callable[[str], None],
) -> Section:
    """Recognisers fine-tuned, and one trained, on our output of other people."""
    torch.set_num_threads(threads)
    table = Table(
        "Attackers that learned from our output",
        [
            Column("condition"),
            Column("attacker_net"),
            Column("EER %, clear gallery", "percent"),
            Column("TAR@1e-3 %, clear gallery", "percent"),
            Column("EER %, anonymised gallery", "percent"),
            Column("EER % clear to clear", "percent"),
            Column("EER % on held-out people", "percent"),
            Column("rounds", "number"),
        ],
        note="Clear to clear: what the pupil can still do with clear images. Held-out people "
        "are of the set it learned from, and decided when learning ended; 0 rounds means that "
        "learning made it no better there.",
    )
    a_rows, b_rows = np.unique(pairs.a), np.unique(pairs.b)
    clear_a, clear_b = verification.faces.images(a_rows), verification.faces.images(b_rows)
    for condition in conditions:
        lessons = training_set.lessons(condition)
        tell(f"parrot: {condition}")
        method = condition.build()
        try:
            new_b = anonymise(method, clear_b, verification.landmarks[b_rows]).images
            new_a = anonymise(
                method, clear_a, verification.landmarks[a_rows], len(b_rows) + 1
            ).images
        finally:
            method.close()
        for attacker in verification.attackers:
            attacker_net = parrots.adapter(lessons, attacker.name)
            known = verification.clear.embeddings[attacker.name]
            shown = (known[a_rows], known[b_rows], attacker.embed(new_a), attacker.embed(new_b))
            views = [attacker_net.embed(view) for view in shown]
            cells = _cells(verification, pairs, a_rows, b_rows, views)
            name = f"{attacker.name} + adapter"
            table.add(label(condition), name, *cells, attacker_net.held_out, attacker_net.rounds)
        attacker_net = parrots.from_scratch(lessons)
        views = [attacker_net.embed(shrunk(p)) for p in (clear_a, clear_b, new_a, new_b)]
        cells = _cells(verification, pairs, a_rows, b_rows, views)
        table.add(
            label(condition), "net from scratch", *cells, attacker_net.held_out, attacker_net.rounds
        )
    return Section(
        "parrot",
        "Parrot attack",
        "Each pupil learned identities from clear and anonymised images of other people, "
        "anonymised by the very method under test, each image as a track of its own.",
        [table],
    )


def reconstruct(
    verification: VerificationBench,
    pairs: Pairs,
    conditions: Sequence[Condition],
    training_set: AttackTrainingSet,
    threads: int,
    tell: Callable[[str], None],
) -> Section:
    """Re-identification of what a learned reconstructor makes of anonymised faces."""
    torch.set_num_threads(threads)
    columns = [Column("condition")]
    for attacker in verification.attackers:
        columns.append(Column(f"{attacker.name}: EER %", "percent"))
        columns.append(Column("TAR@1e-3 %", "percent"))
    table = Table("Reconstructed probe against clear gallery", columns)
    sheet = Sheet("Original, anonymised, reconstructed", [], [])
    index = np.unique(pairs.b)
    clear = verification.faces.images(index)
    place = np.searchsorted(index, pairs.b)
    for condition in conditions:
        lessons = training_set.lessons(condition)
        tell(f"reconstruct: {condition}")
        net = reconstruction.teach(lessons)
        method = condition.build()
        try:
            new = anonymise(method, clear, verification.landmarks[index]).images
        finally:
            method.close()
        made = reconstruction.rebuild(net, new)
        cells: list[Cell] = []
        for attacker in verification.attackers:
            probes = attacker.embed(made)[place]
            gallery = verification.clear.embeddings[attacker.name][pairs.a]
            alike = np.einsum("nd,nd->n", gallery, probes)
            same, other = alike[pairs.same], alike[~pairs.same]
            cells.append(scores.equal_error_interval(same, other))
            cells.append(scores.accepted(same, verification.thresholds[attacker.name][1]))
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
    verification: VerificationBench,
    pairs: Pairs,
    a_rows: Rows,
    b_rows: Rows,
    views: Sequence[Embeddings],
) -> list[Cell]:
    clear_a, clear_b, new_a, new_b = views
    a, b = np.searchsorted(a_rows, pairs.a), np.searchsorted(b_rows, pairs.b)
    same = pairs.same
    # The pupil's own threshold, on clear images of different people.
    far = scores.threshold_at(impostor_scores(clear_b, verification.people[b_rows]), 1e-3)
    against = np.einsum("nd,nd->n", clear_a[a], new_b[b])
    linked = np.einsum("nd,nd->n", new_a[a], new_b[b])
    ceiling = np.einsum("nd,nd->n", clear_a[a], clear_b[b])
    return [
        scores.equal_error_interval(against[same], against[~same]),
        scores.accepted(against[same], far),
        scores.equal_error_interval(linked[same], linked[~same]),
        scores.equal_error(ceiling[same], ceiling[~same]),
    ]
