"""What each column of somebody's table is: run id, domain, metric, size, step, state, or none of mixdesk's business.

Names are never changed; layouts of other programs are recognised by their columns and said in a note. What the user
names (`Columns`) counts; else ids and sizes go by their usual names, and

- domains are all columns of numbers that are no bookkeeping; where their rows do not sum to one or 100 but those of one
  common prefix do (`mix.web`, `mix.code`; `params.weights.web`, …), these;
- metrics are all columns of numbers that are no bookkeeping; in a table that holds both, `metrics.…` of MLflow, else
  those named like a score and not like training.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError
from mixdesk.study.sheets import Sheet, number
from mixdesk.study.weights import is_share

# How a run's id is usually called (in any case); the first one that both tables have is taken.
ID_NAMES = ("run", "run_id", "id", "trial", "index", "name", "unnamed: 0")
REPLICATE = "replicate"
# Columns with the size of a run, by their usual names.
SIZE_NAMES = {"n_params": ("n_params", "num_params", "params"), "n_tokens": ("n_tokens", "num_tokens", "tokens")}
# What MLflow writes before the names of settings and scores.
SETTING, MEASURED = "params.", "metrics."
STEP_NAMES = ("step", "_step", "global_step", "trainer/global_step")
STATE_NAMES = ("state", "status")
# What W&B, MLflow and others call a run that has no final scores.
UNFINISHED = frozenset({"crashed", "failed", "running", "killed", "pending", "scheduled", "preempted", "diverged"})
# Numbers that programs write beside parameters and scores.
BOOKKEEPING = frozenset(
    (
        *("created", "created_at", "createdat", "updated", "updated_at", "start_time", "end_time", "runtime"),
        *("duration", "timestamp", "time", "date", "epoch", "seed", "rung", "experiment_id", "gpu_count"),
    )
)
# Names that W&B and MLflow start their own columns with.
INTERNAL = ("_", "tags.", "system/", "gradients/", "parameters/")
# Words of a score, settings and clocks that have such words too, and scores that are usually better when higher.
SCORE = re.compile(
    r"loss|bpb|ppl|perplexity|nll|eval|val|test|acc|f1|bleu|rouge|score|exact_match|pass@|auc|error", re.I
)
NO_SCORE = re.compile(r"(steps?|interval|size|every|batch(es)?|tokens|samples|runtime|per_second|freq(uency)?)$", re.I)
HIGHER = re.compile(
    r"(^|[^a-z])(acc|accuracy|f1|bleu|rouge\w?|score|exact_match|em|pass@\d+|auc|mcc|win_?rate|recall|precision)"
    r"($|[^a-z])",
    re.I,
)
TRAINING = re.compile(r"(^|[/._])train(ing)?[/._]", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What the user says of the columns.

    `id_column` of the run ids in both tables; `n_params`, `n_tokens` a column or a number for all runs; `by_position`
    joins row by row; `domains`, `metrics` names or patterns (`mix.*`).
    """

    id_column: str | None = None
    n_params: str | int | None = None
    n_tokens: str | int | None = None
    by_position: bool = False
    domains: Sequence[str] = ()
    metrics: Sequence[str] = ()


def given_id(sheet: Sheet, id_column: str | None) -> str | None:
    """`id_column`, if the table has it.

    Raises:
        InputError: it has not.
    """
    if id_column is not None and id_column not in sheet.columns:
        raise InputError(
            f"`{sheet.source}` has no column `{id_column}`",
            value=id_column,
            bound="one of " + ", ".join(sheet.columns),
            remedy=nearest(id_column, sheet.columns),
        )
    return id_column


def usual_ids(names: Collection[str]) -> list[str]:
    """Those that are named like a run's id, the most usual first."""
    return sorted((n for n in names if n.lower() in ID_NAMES), key=lambda n: ID_NAMES.index(n.lower()))


def shared_id(weights: Sheet, measured: Sheet, id_column: str | None) -> str:
    """The column of the run ids in both tables: as given, by a usual name, or the only one that both have.

    Raises:
        InputError: there is none, or several.
    """
    if given_id(weights, id_column) and given_id(measured, id_column):
        return str(id_column)
    shared = [name for name in weights.columns if name in measured.columns]
    usual = usual_ids(shared)
    if usual:
        return usual[0]
    taken = {c for role in SIZE_NAMES for sheet in (weights, measured) if (c := usual_column(sheet, role))}
    shared = [name for name in shared if name not in taken]
    if len(shared) != 1 or weights is measured:
        by_case = {name.casefold(): name for name in measured.columns}
        twins = [f"`{name}` and `{by_case[name.casefold()]}`" for name in weights.columns if name.casefold() in by_case]
        raise InputError(
            f"no column of run ids is shared by `{weights.source}` and `{measured.source}`"
            if not shared
            else f"`{weights.source}` and `{measured.source}` share several columns",
            value=listed(shared or twins or weights.columns),
            bound="one column of run ids, with one name in both",
            remedy=("" if shared else "give it one name in both tables; where it is not a usual one, ")
            + "name it: id_column in Python, --id-column on the command line (or join by position: --by-position)",
        )
    return shared[0]


def usual_column(sheet: Sheet, role: str) -> str | None:
    """The column of numbers with the size `role` (n_params or n_tokens) by its usual names, also as MLflow has them."""
    usual = [f"{head}{name}" for head in ("", SETTING, MEASURED) for name in SIZE_NAMES[role]]
    return next((name for name in usual if name in sheet.columns and not sheet.is_empty(name)), None)


def step_column(sheet: Sheet) -> str | None:
    """The column of training steps."""
    return next((name for name in sheet.columns if name.lower() in STEP_NAMES and not sheet.is_empty(name)), None)


def finished(sheet: Sheet, ids: Sequence[str]) -> tuple[list[bool], list[str]]:
    """Which rows are of runs that came to their end, and the ids of the others."""
    columns = [name for name in sheet.columns if name.lower() in STATE_NAMES]
    wanted = [
        all(cell.lower() not in UNFINISHED for cell in row) for row in zip(*map(sheet.cells, columns), strict=True)
    ]
    wanted = wanted if columns else [True] * len(ids)
    return wanted, list(dict.fromkeys(name for name, is_wanted in zip(ids, wanted, strict=True) if not is_wanted))


def layout(weights: Sheet, measured: Sheet) -> list[str]:
    """Notes on whose layout the tables have."""
    lower = {name.lower() for name in weights.columns}
    found = ""
    if "run_id" in lower and any(name.startswith((SETTING, MEASURED)) for name in measured.columns):
        found = "MLflow's search_runs"
    elif {"name", "state"} <= lower and lower & {"created", "runtime", "sweep", "user", "tags", "notes", "id"}:
        found = "a W&B export of runs"
    elif "index" in lower and any(fnmatchcase(name, "metric/*_val_loss") for name in measured.columns):
        found = "RegMix's tables"
    elif lower & {"run", "run_id"} and {"name", "index"} & lower & {name.lower() for name in measured.columns}:
        found = "olmix's tables"
    return [f"Recognised by the columns: {found}."] if found else []


def domain_columns(
    sheet: Sheet, taken: Collection[str], patterns: Sequence[str], *, is_both: bool = False
) -> tuple[list[str], list[str]]:
    """The columns of weights, and notes; `is_both`: the table holds scores too.

    Raises:
        InputError: a pattern fits no column, or there is no column of weights.
    """
    if patterns:
        return _matching(sheet, patterns, "domains", taken), []
    able = numeric_columns(sheet, taken, (MEASURED,))
    if not able:
        raise InputError(
            f"`{sheet.source}` has no column of weights",
            value=f"{listed(sheet.columns)}; in the first row {listed(sheet.rows[0])}",
            bound="one column of numbers per domain",
            remedy="check the table, or name the columns: --domains",
        )
    chosen = _by_prefix(sheet, able)
    if is_both and any(map(SCORE.search, chosen)) and not _are_shares(sheet, chosen):
        raise InputError(
            f"`{sheet.source}`: no columns look like the weights of a mixture",
            value=listed(able),
            bound="columns of one prefix, such as mix.web and mix.code, that sum to one or 100 in every row",
            remedy="name them: --domains",
        )
    if is_both:
        return chosen, [f"`{sheet.name}`: taken as the domains: {listed(chosen)}."]
    notes = _ignored(sheet, {*taken, *able}, "no domain")
    rest = [name for name in able if name not in chosen]
    if rest:
        notes.append(f"`{sheet.name}`: {listed(chosen)} sum to one or 100 without {listed(rest)}, which were ignored.")
    return chosen, notes


def metric_columns(
    sheet: Sheet, taken: Collection[str], patterns: Sequence[str], *, is_both: bool
) -> tuple[list[str], list[str]]:
    """The columns of scores, and notes on the columns that are none; `is_both`: the table holds weights too.

    Raises:
        InputError: a pattern fits no column, or none of a table of both looks like a score.
    """
    if patterns:
        return _matching(sheet, patterns, "metrics", taken), []
    able = numeric_columns(sheet, taken, (SETTING,))
    notes = _ignored(sheet, {*taken, *able}, "no numbers, or bookkeeping")
    if not is_both:
        return able, notes
    chosen = [name for name in able if name.startswith(MEASURED)] or [name for name in able if SCORE.search(name)]
    chosen = [name for name in chosen if not (TRAINING.search(name) or NO_SCORE.search(name))]
    if not chosen:
        raise InputError(
            f"`{sheet.source}`: no column looks like a score",
            value=listed(able) or "no further column of numbers",
            bound="columns such as eval/loss",
            remedy="name them: --metrics",
        )
    notes.append(f"`{sheet.name}`: taken as the metrics: {listed(chosen)}.")
    rest = [name for name in able if name not in chosen]
    if rest:
        notes.append(f"`{sheet.name}`: ignored, as not named like a score on held-out text: {listed(rest)}.")
    return chosen, notes


def numeric_columns(sheet: Sheet, taken: Collection[str], not_here: tuple[str, ...] = ()) -> list[str]:
    """Columns of numbers that are not taken, no bookkeeping, and do not start with one of `not_here`."""
    rest = [name for name in sheet.columns if name not in taken and not _is_ours(name, not_here)]
    return [name for name in rest if not sheet.is_text(name) and not sheet.is_empty(name)]


def check_alike(sheet: Sheet, names: Sequence[str], what: str) -> None:
    """No two names differ by case or blanks only.

    Raises:
        InputError: two do; names both.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = "".join(name.casefold().split())
        if key in seen:
            raise InputError(
                f"`{sheet.source}`: two {what} differ by case or blanks only",
                value=f"`{seen[key]}` and `{name}`",
                bound="names that cannot be mistaken for one another",
                remedy="rename one, or add their columns up where they are the same",
            )
        seen[key] = name


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of the patterns, or fits one."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def listed(names: Collection[str], n: int = 12) -> str:
    """Names in words, the first of many."""
    first = list(names)[:n]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")


def _matching(sheet: Sheet, patterns: Sequence[str], what: str, taken: Collection[str]) -> list[str]:
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in sheet.columns):
            raise InputError(
                f"`{sheet.source}` has no column for `{pattern}` ({what})",
                value=pattern,
                bound="a name or pattern of its columns",
                remedy=nearest(pattern, sheet.columns),
            )
    return [n for n in sheet.columns if matches(n, patterns) and (n not in taken or n in patterns)]


def _ignored(sheet: Sheet, known: Collection[str], why: str) -> list[str]:
    rest = [name for name in sheet.columns if name not in known]
    return [f"`{sheet.name}`: ignored ({why}): {listed(rest)}."] if rest else []


def _is_ours(name: str, not_here: tuple[str, ...]) -> bool:
    """Whether a program wrote the column for itself."""
    lower = name.lower()
    known = lower in BOOKKEEPING or lower in ID_NAMES or lower in STEP_NAMES or lower in STATE_NAMES
    return known or lower.startswith((*INTERNAL, *not_here))


def _by_prefix(sheet: Sheet, able: Sequence[str]) -> list[str]:
    """All columns if their rows sum to one or 100; else those of the one prefix whose rows do; else all.

    Raises:
        InputError: those of several prefixes do.
    """
    if _are_shares(sheet, able):
        return list(able)
    heads = {name[: mark.end()] for name in able for mark in re.finditer(r"[./:_]", name)}
    groups = {tuple(name for name in able if name.startswith(head)) for head in heads}
    groups = {group for group in groups if 1 < len(group) < len(able) and _are_shares(sheet, group)}
    largest = [group for group in groups if not any(set(group) < set(other) for other in groups)]
    if len(largest) > 1:
        raise InputError(
            f"`{sheet.source}`: the rows of several groups of columns sum to one",
            value="; ".join(sorted(listed(group, 3) for group in largest)),
            bound="one group of weights",
            remedy="name its columns: --domains",
        )
    return list(largest[0]) if largest else list(able)


def _are_shares(sheet: Sheet, names: Sequence[str]) -> bool:
    """Whether the columns sum to one, or to 100, in every row that has any of them."""
    places = [sheet.columns.index(name) for name in names]
    kinds = set()
    for row in sheet.rows:
        try:
            values = [number(row[place], "") for place in places]
        except InputError:
            return False
        known = [value for value in values if value is not None]
        if known:
            kinds.add(is_share(sum(known)) if len(known) == len(values) and min(known) >= 0.0 else None)
            if None in kinds or len(kinds) > 1:
                return False
    return bool(kinds)
