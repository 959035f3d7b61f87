"""What an export wrote, what the trainer makes of it, and what a trainer's file says, as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixdesk.cli.tables import say, say_json, say_table
from mixdesk.core.export import SHARES_TOLERANCE, Export, Imported, Verification
from mixdesk.core.files import to_data

if TYPE_CHECKING:
    from mixdesk.recipe.doubts import Doubts


def print_export(export: Export, out: Path) -> None:
    """What was written, stage by stage, with the arithmetic; then who applies it and what is lost."""
    n = len(export.files)
    say(f"{out}: {n} files for {export.target}. {export.sentence}\n{export.arithmetic}\n")
    for i, stage in enumerate(export.stages, 1):
        whole = f"Stage {i} of {len(export.stages)}" + (f", until {stage.end:,} tokens" if stage.end else "") + ":"
        say_table(
            [
                {"domain": one.domain, "token share": one.weight, f"written ({export.unit})": one.written,
                 "realised": one.realised, "epochs": one.epochs}
                for one in sorted(stage.shares, key=lambda one: -one.weight)
            ],
            title=whole,
        )  # fmt: skip
    verdict = None if export.order.recipe is None else export.order.recipe.verdict
    if verdict is not None and verdict.recommended != "recipe":
        say(f"Mind: these files hold the recipe, and its verdict is: {verdict.headline}")
    for line in export.losses:
        say(f"Mind: {line}")


def print_verification(found: Verification, *, as_json: bool = False) -> int:
    """Shares asked and realised; the exit code: 1 where a stage is off by more than is allowed in it."""
    is_near = all(stage.error <= stage.allowed for stage in found.stages)
    if not as_json:
        say(f"\n{found.how}")
        for i, stage in enumerate(found.stages, 1):
            realised = dict(stage.realised)
            say_table(
                [{"domain": name, "asked": share, "realised": realised.get(name, 0.0)} for name, share in stage.asked],
                title=f"Stage {i}, {stage.n_tokens:,} tokens drawn:",
            )
            more = "" if stage.error <= stage.allowed else f", more than {stage.allowed:.4g}"
            say(f"Largest difference: {stage.error:.6f}{more}")
            if stage.resolution > SHARES_TOLERANCE:
                say(f"Documents are whole, which leaves differences of up to {stage.resolution:.4g} in so few tokens.")
    return 0 if is_near else 1


def print_mixture(found: Imported, doubts: Doubts | None = None, *, as_json: bool = False) -> None:
    """A mixture that somebody has today: weights, epochs, the natural mixture beside them, and what to try next."""
    if as_json:
        say_json({**to_data(found), **({} if doubts is None else {"doubts": to_data(doubts)})})
        return
    sizes = {one.name: one.n_tokens for one in found.domains if one.n_tokens}
    total, n_run, start = sum(sizes.values()), found.plan.scale.n_tokens, 0.0
    for i, stage in enumerate(found.plan.schedule.stages, 1):
        share, start = stage.until - start, stage.until
        rows = [
            {
                "domain": name,
                f"share of {found.unit}": weight,
                **({"natural": sizes.get(name, 0) / total} if total else {}),
                **(
                    {"epochs": weight * share * n_run / sizes[name] if name in sizes else None}
                    if n_run and sizes
                    else {}
                ),
            }
            for name, weight in sorted(stage.mixture.as_dict().items(), key=lambda item: -item[1])
        ]
        say_table(rows, title=f"Stage {i}, until {stage.until:.0%} of the run:")
    for name, most in found.limits:
        say(f"`{name}` may be passed {most:g} times there.")
    for note in found.notes:
        say(f"Mind: {note}")
    if doubts is not None:
        print_doubts(doubts)


def print_doubts(doubts: Doubts) -> None:
    """For each domain the step of its weight whose effect is least certain, the widest first."""
    say_table(
        [
            {"domain": one.domain, "weight": one.weight, "try": one.to, "difference": one.difference, "low": one.low,
             "high": one.high, "leverage": one.leverage}
            for one in doubts.found
        ],
        title=f"\nWhere a next trial would tell most, by the law {doubts.law} at {doubts.rung}: the objective with "
        "`try` in place\nof the weight less today's (positive: worse), 90 % intervals, widest first; leverage above 1 "
        "lies outside the\nregion of the runs:",
    )  # fmt: skip
    for note in doubts.notes:
        say(f"Mind: {note}")
