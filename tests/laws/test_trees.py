"""The trees law: RegMix's table, few rows, the page's form."""

import json
from dataclasses import replace

import numpy as np
import pytest
from law_worlds import PILE_CC, design, regmix_table

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Inputs
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.score import out_of_fold, scores
from mixdesk.laws.trees import Trees
from mixdesk.testing.worlds import loglinear


def walk(tree, w):
    """What the page does with a tree."""
    if not tree["f"]:
        return tree["v"][0]
    node = 0
    while node >= 0:
        node = tree["l"][node] if w[tree["f"][node]] <= tree["t"][node] else tree["r"][node]
    return tree["v"][-node - 1]


def test_thirty_two_runs_of_eight_domains_have_leaves():
    world = loglinear(8, 3, 0, 0.1)
    rng = np.random.default_rng(0)
    fit = Trees().fit(world.observations(design(world, 32, rng)))
    W_qd = design(world, 200, rng)
    found, true = fit.predict(Inputs.of(world.domains, W_qd)).mean_qm, world.value(W_qd)
    rho = [np.corrcoef(found[:, j], true[:, j])[0, 1] for j in range(3)]
    assert np.median(rho) > 0.7


def test_page_form_predicts_the_same_as_python():
    world = loglinear(4, 2, 1, 0.1)
    fit = Trees(n_members=3, n_rounds=20).fit(world.observations(design(world, 30, np.random.default_rng(1))))
    page = json.loads(json.dumps(fit.browser()))
    W_qd = np.vstack([np.eye(4), np.random.default_rng(2).dirichlet(np.ones(4), 20)])
    wanted = fit.predict(Inputs.of(world.domains, W_qd)).mean_qm
    order = [world.domains.index(name) for name in page["domains"]]
    found = np.array(
        [
            [
                np.mean([sum(walk(tree, w) for tree in member[j]) for member in page["members"]])
                for j in range(len(page["metrics"]))
            ]
            for w in W_qd[:, order]
        ]
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_predictions_stay_within_what_was_seen():
    world = loglinear(5, 1, 2, 0.1)
    obs = world.observations(design(world, 40, np.random.default_rng(3)))
    found = Trees().fit(obs).predict(Inputs.of(world.domains, np.eye(5))).mean_qm
    assert (found >= obs.Y_nm.min() - 1e-9).all()
    assert (found <= obs.Y_nm.max() + 1e-9).all()


def test_refusals():
    world = loglinear(3, 1, 0, 0.1)
    obs = world.observations(design(world, 7, np.random.default_rng(0)))
    with pytest.raises(NotEnoughEvidence, match="at least 8 mixtures"):
        Trees().fit(obs)
    with pytest.raises(InputError):
        Trees(n_members=1)
    with pytest.raises(InputError, match="not a fit"):
        Trees().restore({"domains": ["a"], "metrics": ["m"], "members": [["nonsense"]], "noise": [[0.0]]})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "least"),
    [(Trees(), 0.98), (Trees(learning_rate=0.01, n_rounds=1000, n_members=2), 0.975), (Exponential(), 0.95)],
    ids=["trees", "regmix's rate", "exponential"],
)
def test_rank_correlation_on_all_recorded_runs(law, least):
    table = regmix_table()
    obs = table.observations()
    one = [j for j, metric in enumerate(obs.metrics) if metric.name == PILE_CC]
    obs = replace(obs, metrics=(obs.metrics[one[0]],), Y_nm=obs.Y_nm[:, one])
    rows = out_of_fold(law, obs, Objective(terms={PILE_CC: 1.0}), folds=10)
    found = {row.measure: row.value for row in scores("law", rows) if row.metric == PILE_CC}
    print(type(law).__name__, {name: round(value, 3) for name, value in found.items()})
    assert found["spearman"] >= least


@pytest.mark.parametrize(
    ("law", "least"), [(Exponential(), 0.88), (Trees(n_members=3), 0.85)], ids=["exponential", "trees"]
)
def test_rank_correlation_on_sixty_four_recorded_runs(law, least):
    table = regmix_table()
    order = np.random.default_rng(0).permutation(512)
    obs = table.observations()
    fit = law.fit(obs.take(order[:64]))
    rest = obs.take(order[64:])
    found = fit.predict(Inputs.of(rest.domains, rest.W_nd)).mean_qm
    rank = [np.argsort(np.argsort(column)) for column in (*found.T, *rest.Y_nm.T)]
    m = len(obs.metrics)
    rho = np.mean([np.corrcoef(rank[j], rank[m + j])[0, 1] for j in range(m)])
    print(type(law).__name__, round(float(rho), 3))
    assert rho >= least
