"""The desk while a study runs: the page of `desk.py` on loopback, and the mixtures a person asks there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from mixdesk.api.exports import snippets
from mixdesk.api.laws import evidence_of
from mixdesk.api.recipes import draft_recipe
from mixdesk.core import checks, registry
from mixdesk.core.errors import InputError, MixdeskError
from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal
from mixdesk.core.trial import StudyView
from mixdesk.recipe import judge
from mixdesk.report.figures import Answer
from mixdesk.search.terrain import target_space
from mixdesk.study.config import StudyConfig
from mixdesk.study.local import WISH
from mixdesk.study.record import ANSWERED, OPEN
from mixdesk.study.study import Study

# The last port there is.
LAST_PORT = 65535


@contextmanager
def live_desk(study: Study, port: int = 0) -> Iterator[str]:
    """The study's page on this machine, updating as trials finish; gives its address. Run the study inside the block.

    Its verdict is that of the trials so far, and says so while trials are out. A mixture that a person asks there is
    recorded as a trial like any other, and trained next by a run on this machine.

    Args:
        study: to show.
        port: of this machine; 0: a free one.

    Raises:
        InputError: the port is in use, or not to be had.
        MissingExtra: starlette or uvicorn is not installed.
    """
    registry.require("starlette", "uvicorn")
    from mixdesk.report import live

    checks.count("port", port)
    if port > LAST_PORT:
        raise InputError("there is no such port", value=port, bound=f"0 to {LAST_PORT}", remedy="give another port")
    with Study.open(study.folder) as own:

        def shown() -> Study:
            """A handle beside that of the run, with the budget that the run has by now."""
            own.config = study.config
            return own

        source = live.Source(
            count=lambda: live.Count(**_counts(shown())),
            view=lambda: shown().view(),
            answers=lambda view: tuple(
                replace(one, snippets=snippets(shown(), one.recipe)) for one in draft_answers(view, study.config)
            ),
            ask=lambda weights: ask_mixture(shown(), weights),
        )
        with live.served(source, port) as address:
            yield address


def _counts(study: Study) -> dict[str, int]:
    states = [trial.state for trial in study.trials().values()]
    budget = study.config.budget
    n_planned = len(states) if budget is None or budget.n_trials is None else budget.n_trials
    n_put_off = min(sum(state in OPEN for state in states), max(len(states) - n_planned, 0))
    return {
        "n_done": sum(state in ANSWERED for state in states),
        "n_failed": states.count("failed"),
        "n_asked": len(states) - n_put_off,
        "n_planned": max(len(states) - n_put_off, n_planned),
    }


def draft_answers(view: StudyView, config: StudyConfig) -> tuple[Answer, ...]:
    """What the trials so far say of the study's question; empty where they are too few to say anything."""
    if view.n_mixtures(view.fullest) < len(view.domains) + 2:  # refused by every law: not worth a fit
        return ()
    try:
        evidence = evidence_of(view, config.law, config.objective)
        recipe = draft_recipe(view, config, evidence)
    except MixdeskError:
        return ()
    n_more = (view.trials_left or 0) - view.n_put_off
    if sum(trial.state in OPEN for trial in view.trials) + n_more:
        n_in = sum(trial.state in ANSWERED for trial in view.trials)
        n_planned = len(view.trials) + n_more
        recipe = replace(recipe, verdict=judge.while_running(recipe.verdict, n_in, n_planned))
    return (Answer(recipe=recipe, browser=evidence.fit.browser(), rows=evidence.rows, scores=evidence.scores),)


def ask_mixture(study: Study, weights: dict[str, float]) -> str:
    """Record the question of one mixture, at the size where most mixtures were tried; a sentence of what comes of it.

    It counts against the budget: once all trials of the budget are asked, it takes the place of the last that waits.

    Raises:
        InputError: no mixture of the study's domains, one that breaks a constraint, one that has an answer already, or
            a budget that is spent.
    """
    view = study.view()
    for name in weights:
        checks.one_of("domain", name, view.domains)
    mixture = Mixture.of({name: weights.get(name, 0.0) for name in view.domains})
    if broken := target_space(view).broken(mixture):
        raise InputError(
            "the mixture breaks a limit of the study",
            value=", ".join(f"`{name}` {weight:.3g}" for name, weight in mixture.as_dict().items() if weight),
            bound=" and ".join(broken),
            remedy="move it inside, or start another study with other limits",
        )
    rung = view.fullest.label
    trained = (trial for trial in view.at(rung) if trial.spec.replicate == 0 and not trial.spec.parents)
    known = next((trial for trial in trained if trial.spec.mixture == mixture), None)
    if known is not None and known.state in OPEN:
        return f"Trial {known.id} of this mixture was asked before and waits for its answer."
    if known is not None:
        raise InputError(
            "this mixture was tried",
            value=f"trial {known.id}, which has its answer",
            bound="a mixture that no trial had",
            remedy="look at that trial in the table",
        )
    wish = Proposal(mixture=mixture, rung=rung, why=WISH)
    instead = ""
    if not view.affordable([wish]):
        n_waiting = sum(trial.state == "waiting" for trial in view.proxies) - view.n_put_off
        if view.trials_left != 0 or n_waiting < 1:
            raise InputError(
                "the budget of the study is spent",
                value=f"{len(view.proxies)} trials asked, none of which can give its place",
                bound="room for one more trial",
                remedy="raise the budget in study.toml, and start the run again",
            )
        instead = " It takes the place of the last planned trial, as the budget has no room for both."
    (asked,) = study.ask([wish])
    return f"Asked as trial {asked.id}. It is trained next.{instead}"
