"""What `mixdesk recipe` prints: guards with their probability, moves, Pareto sets, refusals, scores of cards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mixdesk as mx
from mixdesk.cli.main import app
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.testing.worlds import World, loglinear, power, pure_noise, swarm

LAW = ("--law", "exponential")


def imported(path: Path, world: World, n: int = 36) -> Path:
    W_nd = swarm(world, n)
    lines = [[",".join(["run", *world.domains])], [",".join(["run", *(metric.name for metric in world.metrics)])]]
    for i, w_d in enumerate(W_nd):
        measured = world.measure(Mixture.of(dict(zip(world.domains, w_d.tolist(), strict=True)), normalise=True))
        for table, cells in zip(lines, (w_d.tolist(), measured.values()), strict=True):
            table.append(",".join([f"r{i}", *map(str, cells)]))
    for name, table in zip(("m.csv", "s.csv"), lines, strict=True):
        (path / name).write_text("\n".join(table) + "\n")
    natural = dict(zip(world.domains, world.natural_d.tolist(), strict=True))
    mx.import_study(path / "m.csv", path / "s.csv", path / "study", natural=natural, n_params=1_000_000)
    return path / "study"


@pytest.fixture(scope="module")
def world() -> World:
    return loglinear(4, 2, seed=1, noise=0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    return imported(tmp_path_factory.mktemp("clear"), world)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("noise"), pure_noise(4, 2, seed=1))


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["recipe", *map(str, words)])
    found = done.exit_code if done.exception is None or isinstance(done.exception, SystemExit) else done.exception
    assert getattr(found, "exit_code", found) == code, done.output
    return done.output if isinstance(found, int) else str(found)


def test_a_guard_prints_how_surely_it_holds_once(folder: Path, world: World) -> None:
    guard = f"{world.metrics[0].name}<=natural+0.01"
    out = run("make", folder, *LAW, "--guard", guard, "--guard", guard, "--guard", guard.replace("d00", "d0[01]"))
    table = [line for line in out.splitlines() if line.startswith(f"  {world.metrics[0].name} ≤ natural + 0.01")]
    assert len(table) == 1
    assert 0.0 <= float(table[0].split()[5]) <= 1.0
    assert out.count(f"Held by: {world.metrics[0].name}") <= 1


def test_why_shows_what_a_weight_rests_on(folder: Path, world: World) -> None:
    run("make", folder, *LAW)
    recipe = mx.read_recipe(folder)
    name, weight = max(recipe.mixture.as_dict().items(), key=lambda item: item[1])
    shown = run("show", folder, "--why", name)
    assert shown.startswith(f"{name}: {weight:.4f} of the training tokens in the recipe, by the law exponential at 1M.")
    assert "Half of it would be worse" in shown
    told = json.loads(run("show", folder / "recipe.json", "--why", name, "--json"))
    assert all(f"  {one['run']} " in shown for one in told["witnesses"])
    assert {one["run"][0] for one in told["witnesses"]} == {"r"}
    assert told["sentences"][0] in shown
    assert run("show", folder, "--why", "d99", code=1).startswith("there is no domain `d99`")
    assert json.loads(run("show", folder, "--json"))["plan"]


def test_why_without_a_law_says_so(noise: Path) -> None:
    run("make", noise, *LAW, code=3)
    shown = run("show", noise, "--why", "d00")
    assert shown.startswith("Mind: Asked about mixtures it had not seen")
    assert "What it says of a single weight is worth as little." in shown


def test_no_law_is_refused_with_what_would_settle_it(noise: Path) -> None:
    out = run("make", noise, *LAW, code=3)
    assert out.startswith("No recipe yet. The evidence is too weak.\nAsked about mixtures it had not seen, the law")
    checked = run("check", noise, code=3).splitlines()
    assert checked == out.splitlines()[:3]
    assert "mixtures" in checked[2]
    for words in (("move", noise, "--gain", "0.001"), ("pareto", noise)):
        assert "does not surely rank them" in run(*words, *LAW, code=3)


def test_too_few_mixtures_say_how_many_more(tmp_path: Path) -> None:
    few = imported(tmp_path, power(5, 2, seed=1), n=5)
    assert "run 2 more mixtures at least; 13 more would be sound" in run("make", few, code=3)


def test_a_move_says_what_it_gains_and_how_surely(folder: Path) -> None:
    out = run("move", folder, *LAW, "--gain", "0.01", "--from", "Natural")
    assert " is predicted to gain 0.0100 (90 % interval " in out.splitlines()[0]
    assert ", one of 0.01 or more with 0." in out.splitlines()[0]
    assert "best seen, natural, uniform" in run("move", folder, *LAW, "--gain", "0.01", "--from", "nowhere", code=1)
    refused = run("move", folder, *LAW, "--gain", "9", code=3)
    most = refused.split("ask for ")[1].split()[0]
    assert json.loads(run("move", folder, *LAW, "--gain", most, "--json"))["gain"] == float(most)


def test_a_move_from_outside_the_runs_says_so(folder: Path) -> None:
    corner = [word for name in ("d00", "d01", "d02", "d03") for word in ("--from", f"{name}={float(name == 'd03')}")]
    assert "today's mixture lies outside the region of the runs" in run("move", folder, *LAW, "--gain", "0.01", *corner)


def test_a_pareto_set_names_its_law_and_its_ends(folder: Path) -> None:
    lines = run("pareto", folder, *LAW).splitlines()
    assert lines[0].startswith("By the law exponential no other mixture is better in every metric")
    points = json.loads(run("pareto", folder, *LAW, "--json"))
    for name in points[0]["values"]:
        best = min(points, key=lambda point: point["values"][name])
        assert name in best["best_of"]


def test_a_score_reads_sizes_and_says_what_it_cannot_score(folder: Path, world: World, tmp_path: Path) -> None:
    run("make", folder, *LAW)
    found = mx.read_recipe(folder)
    assert found.card is not None
    names = [metric.name for metric in world.metrics]
    rows = [
        ",".join([one.name, *(str(world.measure(one.mixture, 5000)[name]) for name in names)])
        for one in found.card.mixtures
    ]

    def table(head: str = "", cell: str = "") -> Path:
        (tmp_path / "big.csv").write_text("\n".join([f"plan,{','.join(names)}{head}", *(row + cell for row in rows)]))
        return tmp_path / "big.csv"

    unknown = run("score", folder, "--scores", table())
    assert "The size of the runs or of the card is not told" in unknown
    assert "(value)" not in unknown
    assert "(value)" in run("score", folder, "--scores", table(",n_params", ",1M"))
    assert "(value)" in run("score", folder, "--scores", table(), "--same-scale")
    other = run("score", folder, "--scores", table(",n_params", ",60M"))
    assert "sizes are scored at the card's own scale only" in other
    assert "Note:" not in other
    assert "no fresh run of the recipe" in run("score", folder / "recipe.json", code=3)


def test_a_card_of_a_refused_recipe_says_so(noise: Path, tmp_path: Path) -> None:
    run("make", noise, *LAW, code=3)
    found = mx.read_recipe(noise)
    assert found.card is not None
    names = [metric.name for metric in found.card.metrics]
    (tmp_path / "big.csv").write_text("\n".join([",".join(["plan", *names]), "recipe,1,1", "natural,1,1"]))
    assert "The evidence was too weak for a recipe" in run("score", noise, "--scores", tmp_path / "big.csv")
    assert np.isfinite(found.leverage)


def test_start_shows_epochs_and_that_no_run_supports_it(pico_corpus: Path) -> None:
    corpus = mx.open_corpus(pico_corpus)
    words = ["recipe", "start", str(pico_corpus), "--n-tokens", str(sum(d.n_tokens or 0 for d in corpus.domains))]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert "No run supports these mixtures" in shown.output
    assert "unimax: in doubt" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    natural = next(one for one in told if one["name"] == "natural")
    assert dict(natural["epochs"]) == pytest.approx(dict.fromkeys(corpus.names, 1.0))
    short, spelt = (CliRunner().invoke(app, [*words[:4], n, "--json"]).output for n in ("2k", "2000"))
    assert short == spelt


def test_a_run_beyond_the_cap_is_refused(pico_corpus: Path) -> None:
    with pytest.raises(mx.Infeasible, match="is longer than 4 epochs"):
        mx.start_recipe(pico_corpus, n_tokens=10**15)


def test_two_stages_are_shown_beside_their_average(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "two.json"
    printed = run("make", folder, *LAW, "--stages", "2", "--last-share", "0.2", "--out", out)
    assert "0% to 80%" in printed
    assert "80% to 100%" in printed
    assert "learning rate falls to zero" in printed
    two, one = mx.read_recipe(out), mx.make_recipe(mx.open_study(folder), law="exponential", out=tmp_path / "one.json")
    natural = mx.open_study(folder).view().natural
    assert [stage.until for stage in two.plan.schedule.stages] == [0.8, 1.0]
    assert [stage.mixture for stage in two.plan.schedule.stages] == [natural, one.mixture]
    assert run("show", out) == printed
    study = mx.open_study(folder)
    page = mx.write_desk(study, tmp_path / "desk.html", recipes=[two]).read_text()
    assert "token average of 2 stages" in page
    whole = mx.make_recipe(study, law="exponential", last_share=1.0, out=out)
    assert whole.plan == one.plan
    for share in (0.0, 1.5):
        with pytest.raises(InputError, match="last_share"):
            mx.make_recipe(study, law="exponential", last_share=share)


def test_a_cap_on_epochs_is_told_with_the_question(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "capped.json"
    run("make", folder, *LAW, "--out", out)
    free = mx.read_recipe(out)
    name, weight = max(free.mixture.as_dict().items(), key=lambda item: item[1])
    capped = ("make", folder, *LAW, "--out", out, "--max-epochs", "4")
    refused = run(*capped, code=1)
    assert "epochs cannot be counted here: found no tokens of the run and no unique tokens of any" in refused
    assert "--tokens DOMAIN=1.2B" in refused
    assert run(*capped, "--tokens", "web", code=1).startswith("`web` counts no domain")
    assert "one of d00, d01, d02, d03" in run(*capped, "--tokens", "web=1B", code=1)
    # Half of what the free recipe would take of the domain, four times.
    told = (*capped, "--n-tokens", "20B", "--tokens", f"{name}={weight / 8 * 20:.3f}B")
    printed = run(*told)
    found = mx.read_recipe(out)
    assert found.mixture.as_dict()[name] == pytest.approx(weight / 2, rel=1e-3)
    assert dict(found.epochs) == {name: pytest.approx(4.0, rel=1e-3)}
    assert f"Held by: {name} ≤ 4 epochs" in printed
    assert found.plan.scale.n_tokens == 20_000_000_000
    assert found.provenance.corpus is None
    told_all = [word for one in ("d00", "d01", "d02", "d03") for word in ("--tokens", f"{one}=9B")]
    run(*capped, "--n-tokens", "20B", *told_all)
    assert set(dict(mx.read_recipe(out).epochs)) == {"d00", "d01", "d02", "d03"}
    run(*told)
    assert run("show", out) == printed
    found_in_study = folder / "recipe.json"
    found_in_study.write_text(out.read_text())
    assert "≤ 4 epochs" in run("show", folder, "--why", name)  # the way to double is ended by the cap
    page = mx.write_desk(mx.open_study(folder), tmp_path / "desk.html").read_text()
    assert "limit 4" in page
    found_in_study.unlink()


def test_a_cap_that_leaves_no_run_is_refused_with_the_least_that_does(folder: Path) -> None:
    counts = [word for name in ("d00", "d01", "d02", "d03") for word in ("--tokens", f"{name}=1B")]
    refused = run("make", folder, *LAW, "--max-epochs", "4", "--n-tokens", "20B", *counts, code=3)
    assert "raise max_epochs to 5" in refused


RULE = """name = "formula"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 2 }
trainer = { name = "synthetic", options = { d = 3, m = 2, noise = 0.001 } }
rungs = [{ label = "proxy", scale = { n_tokens = 1000 } }]
strategy = { name = "rule", options = { rule = "uniform" } }
"""


def test_a_formula_answers_without_a_law_and_a_confirmation_judges_it(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(RULE)
    mx.run_study(mx.new_study(tmp_path), jobs=1)
    out = run("make", tmp_path, code=3)
    assert "The mixture is a formula's, and the runs are too few for a law" in out
    assert "Confirm it" in out
    assert "outside the region" not in out
    recipe = mx.read_recipe(tmp_path)
    assert recipe.mixture == mx.Mixture.uniform(recipe.mixture.domains)
    assert (recipe.provenance.law, recipe.comparisons) == ("", ())
    assert not list((tmp_path / "laws").glob("*"))
    assert "needs at least 5 mixtures" in run("make", tmp_path, "--strategy", "exact", code=3)
    assert "law over 3 domains needs" in run("show", tmp_path, "--why", "d00", code=3)
    assert mx.write_desk(mx.open_study(tmp_path)).exists()
    judged = run("confirm", tmp_path, "--replicates", "2", "--jobs", "1", "--quiet")
    assert judged.startswith("Do not train on this mixture: natural is better.")
    checked = run("check", tmp_path, code=3)
    assert checked.startswith("Do not train on this mixture: natural is better.")
    assert "Train on natural" in checked


def test_a_study_without_a_trainer_is_confirmed_by_ask_and_tell(world: World, tmp_path: Path) -> None:
    config = mx.StudyConfig(
        name="lab",
        objective=mx.Objective(terms=(("*", 1.0),)),
        domains=world.domains,
        natural=tuple(zip(world.domains, world.natural_d.tolist(), strict=True)),
        metrics=world.metrics,
        rungs=(
            mx.Rung(label="proxy", scale=mx.Scale(n_tokens=1_000)),
            mx.Rung(label="big", scale=mx.Scale(n_tokens=9_000)),
        ),
        budget=mx.Budget(n_trials=24),
    )
    study = mx.new_study(tmp_path, config)

    def answered(n: int, *, confirm: bool = False) -> set[str]:
        asked = mx.ask_study(study, n, confirm=confirm)
        lines = [",".join(["trial", *(metric.name for metric in world.metrics)])]
        for spec in asked:
            measured = world.measure(spec.mixture, spec.replicate)
            lines.append(",".join([spec.id, *map(str, measured.values())]))
        (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
        mx.tell_study(study, tmp_path / "answers.csv")
        return {study.trial(spec.id).rung for spec in asked}

    answered(24)
    run("make", tmp_path, *LAW)
    waits = run("confirm", tmp_path, "--replicates", "3", "--quiet", code=1)
    assert "found no fresh run of the recipe at `big`" in waits
    assert f"`mixdesk study ask {tmp_path} -n 12 --confirm -o asked.jsonl`" in waits
    with pytest.raises(InputError, match="leave one out"):
        mx.ask_study(study, 12, confirm=True, repeats=True)
    assert answered(12, confirm=True) == {"big"}
    assert "in 3 fresh pairs of runs" in run("confirm", tmp_path, "--replicates", "3", "--quiet")


def test_todays_mixture_shows_where_a_trial_would_tell_most(folder: Path, world: World, tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(dict.fromkeys(world.domains, 1.0 / len(world.domains))))
    plain = run("show", path, "--from", "weights")
    assert "next trial" not in plain
    out = run("show", path, "--from", "weights", "--study", folder)
    assert "Where a next trial would tell most, by the law" in out
    found = json.loads(run("show", path, "--from", "weights", "--study", folder, "--json"))
    spreads = [one["high"] - one["low"] for one in found["doubts"]["found"]]
    assert spreads == sorted(spreads, reverse=True)
    assert {one["domain"] for one in found["doubts"]["found"]} == set(world.domains)
    path.write_text('{"elsewhere": 1.0}')
    assert "elsewhere" in run("show", path, "--from", "weights", "--study", folder, code=1)


def test_todays_mixture_in_rows_is_not_compared_with_shares_of_tokens(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text("swift pt --dataset d00.jsonl#3 d01.jsonl#1\n")
    out = run("show", path, "--from", "ms_swift", "--study", folder, code=1)
    assert "shares of rows" in out
