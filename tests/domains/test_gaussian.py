import numpy as np
import pytest

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.domains.gaussian import Gaussians, adapt, adapt_online, start


def world(seed: int, k: int = 5, p: int = 16, n: int = 2000, wrong: float = 0.2):
    """Documents of k domains, each of two clusters of different shapes; three labels a domain, some of them wrong."""
    rng = np.random.default_rng(seed)
    mean_k2p = rng.normal(0.0, 0.5, (k, 1, p)) + rng.normal(0.0, 0.3, (k, 2, p))
    std_k2p = np.exp(rng.uniform(-0.7, 0.7, (k, 2, p)))
    truth_n, part_n = rng.integers(k, size=n), rng.integers(2, size=n)
    X_np = mean_k2p[truth_n, part_n] + std_k2p[truth_n, part_n] * rng.normal(size=(n, p))
    allowed_nk = np.ones((n, k), bool)
    for domain in range(k):
        for i, row in enumerate(np.flatnonzero(truth_n == domain)[:3]):
            said = domain if i == 0 or rng.random() > 1.5 * wrong else int(rng.integers(k))
            allowed_nk[row] = np.arange(k) == said
    return X_np, truth_n, allowed_nk


def test_the_mixture_beats_the_nearest_labelled_mean_and_knows_where_it_is_right() -> None:
    gains, sure = [], []
    for seed in range(5):
        X_np, truth_n, allowed_nk = world(seed)
        first = start(X_np, allowed_nk)
        R_nk = adapt(X_np, allowed_nk, first, own=True).model.weigh(X_np)
        right_n = R_nk.argmax(1) == truth_n
        gains.append(right_n.mean() - (first.weigh(X_np).argmax(1) == truth_n).mean())
        sure.append(right_n[R_nk.max(1) > 0.95].mean() - right_n.mean())
    assert np.mean(gains) > 0.15
    assert np.mean(sure) > 0.03


@pytest.mark.parametrize("own", [False, True, None])
@pytest.mark.parametrize("trust", [0.0, 0.7, 1.0])
def test_the_penalised_likelihood_never_falls(own: bool | None, trust: float) -> None:
    X_np, _, allowed_nk = world(1, n=900)
    allowed_nk[-50:, :2] = False  # coarse labels too
    goal_t = adapt(X_np, allowed_nk, start(X_np, allowed_nk), own=own, trust=trust).goal_t
    assert len(goal_t) > 5
    assert (np.diff(goal_t) >= -1e-9 * np.abs(goal_t[1:])).all()


def test_a_trusted_label_is_the_answer_and_a_coarse_one_bounds_it() -> None:
    X_np, _, allowed_nk = world(2, n=500)
    allowed_nk[-50:, :3] = False
    model = adapt(X_np, allowed_nk, start(X_np, allowed_nk), trust=1.0).model
    R_nk = model.weigh(X_np, allowed_nk, trust=1.0)
    one = allowed_nk.sum(1) == 1
    assert (R_nk[one] == allowed_nk[one]).all()
    assert (R_nk[-50:, :3] == 0.0).all()
    np.testing.assert_allclose(R_nk.sum(1), 1.0)


def test_renamed_domains_rename_the_answers() -> None:
    X_np, _, allowed_nk = world(3, n=500)
    order = np.array([3, 0, 4, 1, 2])
    answers = [adapt(X_np, a, start(X_np, a), own=True).model.weigh(X_np) for a in (allowed_nk, allowed_nk[:, order])]
    np.testing.assert_allclose(answers[0][:, order], answers[1], atol=1e-8)


def test_in_batches_it_comes_near_the_same() -> None:
    X_np, truth_n, allowed_nk = world(4)
    first = start(X_np, allowed_nk)
    whole, parts = (
        (model.weigh(X_np).argmax(1) == truth_n).mean()
        for model in (
            adapt(X_np, allowed_nk, first, own=False).model,
            adapt_online(X_np, allowed_nk, first, batch=200),
        )
    )
    nearest = (first.weigh(X_np).argmax(1) == truth_n).mean()
    assert parts > nearest + 0.5 * (whole - nearest) > nearest


def test_one_batch_of_everything_is_two_steps() -> None:
    X_np, _, allowed_nk = world(5, n=400)
    first = start(X_np, allowed_nk)
    once = adapt_online(X_np, allowed_nk, first, batch=len(X_np), pull=5.0)
    R_nk = first.weigh(X_np, allowed_nk)
    mean_kp = (R_nk.T @ X_np + 5.0 * first.mean_kp) / (R_nk.sum(0) + 5.0)[:, None]
    # The second pass counts 3^-0.6 of the new moments: means lie between those of one step and of two.
    assert np.abs(once.mean_kp - mean_kp).max() > 0.0
    assert np.abs(once.mean_kp - mean_kp).mean() < np.abs(first.mean_kp - mean_kp).mean()


def test_joint_is_the_density() -> None:
    rng = np.random.default_rng(0)
    model = Gaussians(share_k=np.array([0.3, 0.7]), mean_kp=rng.normal(size=(2, 3)), variance_kp=rng.random((2, 3)))
    x_np = rng.normal(size=(4, 3))
    away = (x_np[:, None] - model.mean_kp) ** 2 / model.variance_kp + np.log(2 * np.pi * model.variance_kp)
    np.testing.assert_allclose(model.joint(x_np), np.log(model.share_k) - 0.5 * away.sum(2))


def test_a_domain_without_label_and_a_label_without_domain_are_refused() -> None:
    X_np, _, allowed_nk = world(6, n=100)
    with pytest.raises(NotEnoughEvidence, match="domain 5 has no labelled document"):
        start(X_np, np.hstack([allowed_nk, np.zeros((100, 1), bool)]))
    with pytest.raises(InputError, match="allows no domain"):
        adapt(X_np, np.zeros((100, 5), bool), start(X_np, allowed_nk))
