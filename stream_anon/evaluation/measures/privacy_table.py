"""Re-identification from still images: every condition against every attacker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stream_anon.evaluation.data.condition import CLEAR, Condition
from stream_anon.evaluation.data.face_set import Pairs
from stream_anon.evaluation.measures.verification import Verdict, VerificationBench
from stream_anon.evaluation.reporting.report import Cell, Column, Line, Plot, Section, Table


def verification(
    verification: VerificationBench,
    pairs: Pairs,
    conditions: Sequence[Condition],
    linked: Sequence[Condition],
    tell: Callable[[str], None],
) -> tuple[Section, dict[tuple[str, str], Verdict]]:
    """Clear gallery, anonymised probe.

    Args:
        verification: the set and the attackers.
        pairs: of the set.
        conditions: to be measured; the ceiling is added.
        linked: those of them that are measured with an anonymised gallery as well.
        tell: hears what is being done.

    Returns:
        The section, and the verdicts by attacker and condition for what is computed from them.
    """
    verdicts: dict[tuple[str, str], Verdict] = {}
    tables = {a.name: _table(a.name, a.spec.training_saw_it) for a in verification.attackers}
    side = Table(
        "Both sides anonymised, independent draws: are two images of one person linked?",
        [Column("condition")]
        + [Column(f"{a.name}: EER %", "percent") for a in verification.attackers],
    )
    for condition in [Condition(CLEAR), *conditions]:
        tell(f"privacy: {condition}")
        probes = verification.embed(condition, pairs.b)
        for attacker in verification.attackers:
            verdict = verification.verdict(attacker.name, probes, pairs)
            verdicts[attacker.name, str(condition)] = verdict
            tables[attacker.name].add(
                label(condition),
                verdict.equal_error,
                *verdict.accepted,
                verdict.rank_one,
                verdict.similarity,
                probes.filled,
            )
        if condition in linked:
            gallery = verification.embed(condition, pairs.a)
            cells: list[Cell] = [
                verification.linked(a.name, gallery, probes, pairs) for a in verification.attackers
            ]
            side.add(label(condition), *cells)
    section = Section(
        "privacy",
        "Re-identification from stills",
        f"{int(pairs.same.sum())} pairs of one person and {int((~pairs.same).sum())} of two. "
        "The gallery is clear, the probe is another image of the person, anonymised as a track "
        "of its own. Thresholds are fixed on all pairs of clear images of different people in "
        f"the set ({min(len(v) for v in verification.impostor.values()):,} of them). Rank 1: "
        f"nearest of "
        f"{len(verification.faces)} clear images, the probe's own left out. Intervals are 95 %: "
        "Wilson, bootstrap over pairs for the EER.",
        [*tables.values(), *([side] if side.rows else [])],
    )
    return section, verdicts


def dial_plots(
    conditions: Sequence[Condition], verdicts: dict[tuple[str, str], Verdict], attackers: list[str]
) -> list[Plot]:
    """Similarity and equal error rate over epsilon, one line for each mechanism."""
    plots = []
    for attacker in attackers:
        for title, pick in (("similarity to the original", 0), ("equal error rate", 1)):
            lines: dict[str, list[tuple[float, float]]] = {}
            for condition in conditions:
                epsilon = condition.options.get("epsilon")
                if not epsilon:
                    continue
                verdict = verdicts[attacker, str(condition)]
                y = (verdict.similarity if pick == 0 else verdict.equal_error).value
                name = str(condition.options["mechanism"])
                lines.setdefault(name, []).append((float(epsilon), y))
            if lines:
                drawn = [Line(name, sorted(points)) for name, points in lines.items()]
                plots.append(Plot(f"{title}, {attacker}", "epsilon", title, drawn, True))
    return plots


def label(condition: Condition) -> str:
    """How a row is called."""
    if condition.method == CLEAR:
        return "clear to clear (ceiling)"
    mechanism = condition.options.get("mechanism")
    if mechanism == "independent":
        return f"{condition.method}, independent (epsilon 0 control)"
    if mechanism is not None:
        return f"{condition.method}, {mechanism}, epsilon {condition.options.get('epsilon'):g}"
    return str(condition)


def _table(name: str, seen: bool) -> Table:
    kind = "training has seen it" if seen else "training has not seen it"
    return Table(
        f"Attacker {name} ({kind})",
        [
            Column("condition"),
            Column("EER %", "percent"),
            Column("TAR@1e-2 %", "percent"),
            Column("TAR@1e-3 %", "percent"),
            Column("rank 1 %", "percent"),
            Column("cosine to the original", "number"),
            Column("covered instead %", "percent"),
        ],
    )
