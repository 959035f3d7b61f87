"""Two tables, or one, as runs: rows of weights and rows of scores brought together by run id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.trial import Point
from mixdesk.study import sizes
from mixdesk.study.columns import (
    REPLICATE,
    Columns,
    check_alike,
    domain_columns,
    finished,
    listed,
    metric_columns,
    shared_id,
    step_column,
    usual_column,
    usual_ids,
)
from mixdesk.study.sheets import Sheet
from mixdesk.study.weights import TOKENS, read_weights

# A run's id, and its n_params where the tables give one for each row.
Key = tuple[str, int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run: `name` its id, `size`, and `points` of scores, the last its end."""

    name: str
    mixture: Mixture
    size: sizes.Size
    points: tuple[Point, ...]
    replicate: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Roles:
    """Columns of both tables by what they are, and sizes given for all runs; `taken`: neither domain nor metric.

    `has_params`: both tables name the n_params of each row, which is then part of what they are joined by.
    """

    n_params: str | None
    n_tokens: str | None
    step: str | None
    all_params: int | None
    all_tokens: int | None
    has_params: bool
    taken: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """What the table of weights says of a run, and where."""

    mixture: Mixture
    n_params: int | None
    n_tokens: int | None
    replicate: int | None
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Score:
    """A row of scores: tokens trained, step, values, and where it stands."""

    n_tokens: int | None
    step: float | None
    values: Mapping[str, float]
    place: str


def join(weights: Sheet, measured: Sheet, columns: Columns) -> tuple[list[Run], list[str]]:
    """The runs that have a mixture and a score, by id, and notes on what was left out; `measured` may be `weights`.

    Raises:
        InputError: a row or cell that cannot be used, with its place, or no run in both.
    """
    notes: list[str] = []
    is_both = weights is measured
    id_column = None if columns.by_position else shared_id(weights, measured, columns.id_column)
    w_ids, m_ids = (
        _positions(weights, measured, notes)
        if id_column is None
        else (weights.names(id_column), measured.names(id_column))
    )
    weights, w_ids, stopped = _finished(weights, w_ids, notes)
    measured, m_ids, also = (weights, w_ids, stopped) if is_both else _finished(measured, m_ids, notes)
    roles = _roles(weights, measured, columns, id_column)
    given, domains, w_notes = _weights(weights, w_ids, roles, columns, is_both=is_both)
    taken = {*roles.taken, *(domains if is_both else ())}
    scores, silent, m_notes = _scores(measured, m_ids, roles, columns, taken, is_both=is_both)
    notes += [*w_notes, *m_notes]
    told = {*stopped, *also, *silent}
    wanted = {key: (key if roles.has_params else (key[0], None)) for key in scores}
    if not is_both:
        notes += _unmatched(given, set(wanted.values()), told, weights.name, measured.name)
        notes += _unmatched(set(wanted.values()), given, told, measured.name, weights.name)
    # By id, so that the order of rows has no part in the study: 2 before 10.
    keys = sorted((key for key in scores if wanted[key] in given), key=lambda key: (len(key[0]), key[0], key[1] or 0))
    kept = {key: given[wanted[key]] for key in keys}
    if not kept:
        twins = _twins({run for run, _ in given}, {run for run, _ in scores})
        raise InputError(
            f"no run of `{weights.source}` has a score in `{measured.source}`",
            value=f"{listed([run for run, _ in given], 5)} against {listed([run for run, _ in scores], 5)}",
            bound=f"common values in column `{id_column}`",
            remedy="write the ids alike" + twins if twins else "check the column of the ids (id_column), or the tables",
        )
    size_of = _sizes(kept, scores, roles, notes)
    n_of = Counter(run for run, _ in kept)
    names = {key: key[0] if n_of[key[0]] == 1 else f"{key[0]} @ {sizes.short(key[1] or 0)}" for key in kept}
    numbers = _numbers(kept, size_of, names, weights.source)
    notes += _about_checkpoints(kept, scores)
    runs = [
        Run(
            name=names[key],
            mixture=one.mixture,
            size=size_of[key],
            points=_points(scores[key], size_of[key][1]),
            replicate=numbers[key],
        )
        for key, one in kept.items()
    ]
    return runs, notes


def _positions(weights: Sheet, measured: Sheet, notes: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Row numbers as ids."""
    n = len(weights.rows)
    if n != len(measured.rows):
        raise InputError(
            f"`{weights.source}` and `{measured.source}` cannot be joined by position",
            value=f"{n} and {len(measured.rows)} rows",
            bound="as many rows in both",
            remedy="join by run id",
        )
    notes.append("Joined by position, as asked: row 1 with row 1, and so on. Nothing checks that they belong together.")
    both = usual_ids([name for name in weights.columns if name in measured.columns])
    if both and weights is not measured and weights.cells(both[0]) != measured.cells(both[0]):
        notes.append(f"Column `{both[0]}` of both tables does not agree row by row: join by it unless you are sure.")
    ids = tuple(str(i) for i in range(1, n + 1))
    return ids, ids


def _finished(sheet: Sheet, ids: Sequence[str], notes: list[str]) -> tuple[Sheet, tuple[str, ...], list[str]]:
    """Without the rows of runs that did not come to their end."""
    wanted, stopped = finished(sheet, ids)
    if not stopped:
        return sheet, tuple(ids), []
    if not any(wanted):
        raise InputError(
            f"`{sheet.source}`: no run came to its end",
            value=f"{len(stopped)} runs crashed, failed or running",
            bound="at least one finished run",
            remedy="export finished runs, or take out the column of states",
        )
    notes.append(f"`{sheet.name}`: left out {_n_runs(stopped)} that did not finish (by state): {listed(stopped, 5)}.")
    return sheet.keep(wanted), tuple(i for i, is_wanted in zip(ids, wanted, strict=True) if is_wanted), stopped


def _roles(weights: Sheet, measured: Sheet, columns: Columns, id_column: str | None) -> _Roles:
    n_params, all_params = sizes.size_column(weights, measured, "n_params", columns.n_params)
    n_tokens, all_tokens = sizes.size_column(weights, measured, "n_tokens", columns.n_tokens)
    step = step_column(measured)
    usual = (usual_column(sheet, role) for sheet in (weights, measured) for role in ("n_params", "n_tokens"))
    return _Roles(
        n_params=n_params,
        n_tokens=n_tokens,
        step=step,
        all_params=all_params,
        all_tokens=all_tokens,
        has_params=n_params in weights.columns and n_params in measured.columns,
        taken=frozenset(name for name in (REPLICATE, id_column, n_params, n_tokens, step, *usual) if name is not None),
    )


def _weights(
    sheet: Sheet, ids: Sequence[str], roles: _Roles, columns: Columns, *, is_both: bool
) -> tuple[dict[Key, _Given], list[str], list[str]]:
    """Key → what the table of weights says, the domains, and notes."""
    domains, notes = domain_columns(sheet, roles.taken, columns.domains, is_both=is_both)
    check_alike(sheet, domains, "domains")
    replicates = _replicates(sheet, ids)
    found = read_weights(sheet, ids, domains, may_be_empty=is_both)
    notes += found.notes
    params = sizes.counts(sheet, roles.n_params, ids)
    tokens: Sequence[int | None] = (None,) * len(ids) if is_both else sizes.counts(sheet, roles.n_tokens, ids)
    if found.unit == TOKENS and roles.n_tokens is None and roles.all_tokens is None:
        tokens = _from_totals(sheet, found.totals, notes)
    given: dict[Key, _Given] = {}
    again: list[str] = []
    for i, run in enumerate(ids):
        mixture = found.mixtures[i]
        if mixture is None:
            continue
        one = _Given(
            mixture=mixture, n_params=params[i], n_tokens=tokens[i], replicate=replicates[i], place=sheet.places[i]
        )
        key = (run, params[i] if roles.has_params else None)
        old = given.setdefault(key, one)
        if replace(old, place="") != replace(one, place=""):
            raise sheet.twice(f"`{run}` occurs twice with other weights", run, old.place, one.place)
        if old is not one:
            again.append(run)
    if again and not is_both:
        notes.append(f"`{sheet.name}`: {_n_rows(again)} kept once, as equal to one before: {listed(again, 5)}.")
    return given, domains, notes


def _from_totals(sheet: Sheet, totals: Sequence[float], notes: list[str]) -> tuple[int | None, ...]:
    """Sums of the rows as n_tokens of the runs, where these make sizes of several runs each."""
    whole = [round(total) for total in totals]
    n_sizes = len(set(sizes.alike(whole).values()) - {None})
    if n_sizes > 1 and 2 * n_sizes > len(whole):
        notes.append(
            f"`{sheet.name}`: sums differ from run to run and were not taken as sizes; name one with --n-tokens."
        )
        return (None,) * len(whole)
    notes.append(f"`{sheet.name}`: n_tokens of each run is its row's sum, as no column says.")
    return tuple(whole)


def _replicates(sheet: Sheet, ids: Sequence[str]) -> tuple[int | None, ...]:
    """The column `replicate`, where there is one."""
    if REPLICATE not in sheet.columns:
        return (None,) * len(ids)
    found: list[int | None] = []
    for run, value in zip(ids, sheet.numbers(REPLICATE, ids), strict=True):
        if value is None or value < 0.0 or value != int(value):
            raise InputError(
                f"`{sheet.source}`, row `{run}`, column `{REPLICATE}`: no number of a repeat",
                value="an empty cell" if value is None else value,
                bound="a whole number ≥ 0",
                remedy=f"correct the cell; a domain may not be called `{REPLICATE}`",
            )
        found.append(int(value))
    return tuple(found)


def _scores(
    sheet: Sheet, ids: Sequence[str], roles: _Roles, columns: Columns, taken: Collection[str], *, is_both: bool
) -> tuple[dict[Key, list[_Score]], list[str], list[str]]:
    """Key → rows of scores that hold a value, those of the last tokens or steps last; ids without any; notes."""
    names, notes = metric_columns(sheet, taken, columns.metrics, is_both=is_both)
    values = {name: sheet.numbers(name, ids) for name in names}
    params, tokens = sizes.counts(sheet, roles.n_params, ids), sizes.counts(sheet, roles.n_tokens, ids)
    steps = sheet.numbers(roles.step, ids) if roles.step in sheet.columns and roles.step else (None,) * len(ids)
    scores: dict[Key, list[_Score]] = {}
    silent: dict[str, bool] = {}
    for i, run in enumerate(ids):
        row = {name: value for name in names if (value := values[name][i]) is not None}
        silent[run] = silent.get(run, True) and not row
        if row:
            one = _Score(n_tokens=tokens[i], step=steps[i], values=row, place=sheet.places[i])
            scores.setdefault((run, params[i]), []).append(one)
    if not scores:
        raise InputError(
            f"`{sheet.source}`: no cell holds a number",
            value="nothing measured in " + listed(names or [name for name in sheet.columns if name not in taken]),
            bound="a number in at least one cell of a metric",
            remedy="check the table, or how it was written",
        )
    empty = [run for run, is_silent in silent.items() if is_silent]
    if empty:
        notes.append(f"`{sheet.name}`: left out {_n_runs(empty)} without any score: {listed(empty, 5)}.")
    again: list[str] = []
    for (run, n_params), rows in scores.items():
        scores[run, n_params] = _in_order(sheet, run, rows, again)
    if again:
        notes.append(f"`{sheet.name}`: {_n_rows(again)} kept once, as equal to one before: {listed(again, 5)}.")
    return scores, empty, notes


def _in_order(sheet: Sheet, run: str, rows: Sequence[_Score], again: list[str]) -> list[_Score]:
    """The rows of one run by tokens, else by step, equal ones once."""
    if len(rows) == 1:
        return list(rows)
    seen: dict[tuple[int | None, float | None], _Score] = {}
    for row in rows:
        key = (row.n_tokens, None if row.n_tokens is not None else row.step)
        old = seen.setdefault(key, row)
        if old.values != row.values:
            remedy = "occurs twice with other scores"
            if key == (None, None):
                remedy += ", and no column n_tokens or step says that they are checkpoints"
            raise sheet.twice(f"`{run}` {remedy}", run, old.place, row.place)
        if old is not row:
            again.append(run)
    return [seen[key] for key in sorted(seen, key=lambda key: (key[0] or 0, -1.0 if key[1] is None else key[1]))]


def _sizes(
    kept: Mapping[Key, _Given], scores: Mapping[Key, Sequence[_Score]], roles: _Roles, notes: list[str]
) -> dict[Key, sizes.Size]:
    """Key → size of the run; one size where theirs differ by little."""
    params = {key: key[1] or one.n_params or roles.all_params for key, one in kept.items()}
    tokens = {key: scores[key][-1].n_tokens or one.n_tokens or roles.all_tokens for key, one in kept.items()}
    same_params, same_tokens = sizes.alike(params.values()), sizes.alike(tokens.values())
    for name, table in (("n_params", same_params), ("n_tokens", same_tokens)):
        if any(size != taken for size, taken in table.items()):
            notes.append(f"`{name}`: values that differ by at most {100 * sizes.ALIKE:g} % were taken as one size.")
    return {key: (same_params[params[key]], same_tokens[tokens[key]]) for key in kept}


def _about_checkpoints(kept: Mapping[Key, _Given], scores: Mapping[Key, Sequence[_Score]]) -> list[str]:
    several = [scores[key][-1].n_tokens is not None for key in kept if len(scores[key]) > 1]
    notes = []
    if sum(several):
        notes.append(f"Runs with checkpoints: {sum(several)}. A run and its checkpoints stay together in every split.")
    if len(several) > sum(several):
        n_late = len(several) - sum(several)
        notes.append(
            f"Runs with rows at several steps: {n_late}. Only the last was kept; --n-tokens COLUMN keeps all of them."
        )
    return notes


def _points(rows: Sequence[_Score], n_tokens: int | None) -> tuple[Point, ...]:
    """Checkpoints in tokens, stretched so that the last one is at the size of the run; else the last row."""
    last = rows[-1].n_tokens
    if n_tokens is None or last is None:
        return (Point(n_tokens=n_tokens or 0, metrics=tuple(rows[-1].values.items())),)
    return tuple(
        Point(n_tokens=round((row.n_tokens or 0) * n_tokens / last), metrics=tuple(row.values.items())) for row in rows
    )


def _numbers(
    kept: Mapping[Key, _Given], size_of: Mapping[Key, sizes.Size], names: Mapping[Key, str], source: str
) -> dict[Key, int]:
    """Numbers of repeats: as given, which must differ; else repeats of a mixture at a size counted 0, 1, 2, ….

    Raises:
        InputError: two runs are the same mixture, size and repeat.
    """
    count: Counter[tuple[Mixture, sizes.Size]] = Counter()
    seen: dict[tuple[Mixture, sizes.Size, int], str] = {}
    numbers: dict[Key, int] = {}
    for key, one in kept.items():
        where = (one.mixture, size_of[key])
        number = count[where] if one.replicate is None else one.replicate
        count[where] += 1
        if (*where, number) in seen:
            raise InputError(
                f"`{source}`: rows `{seen[*where, number]}` and `{names[key]}` are the same mixture and repeat",
                value=f"`{REPLICATE}` {number} twice",
                bound="another number for each repeat of a mixture",
                remedy="number the repeats, or remove the column",
            )
        seen[*where, number] = names[key]
        numbers[key] = number
    return numbers


def _unmatched(
    left: Mapping[Key, object] | set[Key],
    right: Mapping[Key, object] | set[Key],
    told: set[str],
    here: str,
    there: str,
) -> list[str]:
    """A note on runs that only one of the tables has."""
    alone = sorted(
        {run for run, n_params in left if (run, n_params) not in right} - told, key=lambda run: (len(run), run)
    )
    if not alone:
        return []
    hint = _twins(alone, {run for run, _ in right})
    return [f"Left out {_n_runs(alone)} of `{here}` not in `{there}`: {listed(alone, 5)}{hint}."]


def _twins(left: Collection[str], right: Collection[str]) -> str:
    """Two ids, one of each side, that a person would call the same; empty where there are none."""
    near = {_plain(run): run for run in sorted(right)}
    twins = [(run, near[_plain(run)]) for run in sorted(left) if near.get(_plain(run), run) != run]
    return f" (`{twins[0][0]}` and `{twins[0][1]}` differ only in how they are written)" if twins else ""


def _plain(run: str) -> str:
    """An id without case, blanks and the .0 that a table of floats adds."""
    text = "".join(run.casefold().split())
    return text.removesuffix(".0") if text.replace(".", "").isdigit() else text


def _n_runs(names: Sequence[str]) -> str:
    return "1 run" if len(names) == 1 else f"{len(names)} runs"


def _n_rows(names: Sequence[str]) -> str:
    return "1 row" if len(names) == 1 else f"{len(names)} rows"
