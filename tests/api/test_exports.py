import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mixdesk as mx
from mixdesk.api.exports import snippets
from mixdesk.cli.main import app
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.export import SIDECAR
from mixdesk.core.files import to_data, write_json
from mixdesk.core.objective import Verdict
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Plug
from mixdesk.core.recipe import Provenance, Rival
from mixdesk.core.scale import ModelSpec
from mixdesk.core.space import Constraints
from mixdesk.corpus.shards import MANIFEST, open_store

WORDS = ["river", "stone", "lamp", "seven", "glass", "moth"]
# Words in each document of a domain: lengths are far apart.
LENGTHS = {"web": 80, "code": 40, "books": 400}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "c"
    documents = [
        mx.Document(
            text=" ".join(WORDS[(i * k + k) % 6] + str(i) for k in range(n)), label=label, license="MIT", author=f"a{i}"
        )
        for label, n in LENGTHS.items()
        for i in range(40)
    ]
    mx.build_corpus(documents, out, tokenizer="bytes", overlap=False)
    return out


def recipe_of(corpus: Path, weights: dict[str, float], n_tokens: int = 20_000, verdict: str = "better") -> mx.Recipe:
    mixture, uniform = mx.Mixture.of(weights), mx.Mixture.uniform(weights)
    return mx.Recipe(
        plan=mx.RunPlan(schedule=mx.Schedule.constant(mixture), scale=mx.Scale(n_tokens=n_tokens)),
        objective=mx.Objective(terms=(("*", 1.0),)),
        rivals=(Rival(name="uniform", mixture=uniform), Rival(name="best seen", mixture=uniform)),
        comparisons=(),
        verdict=Verdict(name=verdict, state="predicted", headline="Train on it.", reason="It is better.",
                        remedy="Confirm it.", recommended="recipe"),
        provenance=Provenance(study="s", record_sha256="0" * 64, n_trials=3, n_mixtures=3, law="average",
                              strategy="exact", seed=0, version="0", corpus=open_store(corpus).corpus.fingerprint),
    )  # fmt: skip


WEIGHTS = {"web": 0.6, "code": 0.3, "books": 0.1}


def test_a_card_with_attributions_and_its_own_account(corpus: Path, tmp_path: Path) -> None:
    export = mx.export_recipe(recipe_of(corpus, WEIGHTS), "card", tmp_path / "out", corpus=corpus)
    assert mx.read_export(tmp_path / "out") == export
    assert {"card.md", "ATTRIBUTION.md", "attribution.csv"} <= set(export.files)
    assert all((tmp_path / "out" / name).is_file() for name in export.files)
    assert "| web | permissive | MIT" in (tmp_path / "out" / "ATTRIBUTION.md").read_text()
    rows = (tmp_path / "out" / "attribution.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(one.n_docs for one in open_store(corpus).corpus.domains)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    plan = mx.read_mixture(tmp_path / "out", "card").plan
    assert plan.schedule.stages[0].mixture.as_dict() == pytest.approx(WEIGHTS)


def test_a_folder_that_is_there_a_refused_recipe_and_an_unknown_target(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_of(corpus, WEIGHTS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(mx.InputError, match="is there already"):
        mx.export_recipe(recipe, "card", tmp_path / "out", corpus=corpus)
    assert (tmp_path / "out" / "mine").read_text() == "keep"
    with pytest.raises(mx.InputError, match="did you mean `card`"):
        mx.export_recipe(recipe, "carb", tmp_path / "new", corpus=corpus)
    with pytest.raises(mx.InputError, match="refused"):
        mx.export_recipe(recipe_of(corpus, WEIGHTS, verdict="too weak"), "card", tmp_path / "new", corpus=corpus)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_corpus_that_has_changed_is_refused(corpus: Path, tmp_path: Path) -> None:
    other = [mx.Document(text=" ".join(WORDS) * (i + 20), label=name) for name in LENGTHS for i in range(20)]
    mx.build_corpus(other, tmp_path / "c", tokenizer="bytes", overlap=False)
    with pytest.raises(mx.InputError, match="not the one the recipe was made on"):
        mx.export_recipe(recipe_of(corpus, WEIGHTS), "card", tmp_path / "out", corpus=tmp_path / "c")


def test_a_limit_that_is_passed_is_no_export(corpus: Path, tmp_path: Path) -> None:
    config = mx.StudyConfig(
        name="s",
        corpus=str(corpus),
        objective=mx.Objective(terms=(("*", 1.0),)),
        rungs=(mx.Rung(label="proxy", scale=mx.Scale(n_tokens=20_000)),),
        constraints=mx.Constraints(max_epochs=1.0),
        budget=mx.Budget(n_trials=4),
    )
    study = mx.new_study(tmp_path / "study", config)
    study.close()
    size = {one.name: one.n_tokens for one in open_store(corpus).corpus.domains}
    n_tokens = round(2 * size["code"] / 0.3)
    write_json(tmp_path / "study" / "recipe.json", recipe_of(corpus, WEIGHTS, n_tokens))
    with pytest.raises(mx.Infeasible, match="`code` would be passed more often") as error:
        mx.export_recipe(tmp_path / "study", "card", tmp_path / "out")
    assert error.value.exit_code == 3
    assert not (tmp_path / "out").exists()
    assert mx.export_recipe(tmp_path / "study", "card", tmp_path / "out", n_tokens=n_tokens // 2).order.max_epochs


def test_trials_as_files_and_again(corpus: Path, tmp_path: Path) -> None:
    config = mx.StudyConfig(
        name="s",
        corpus=str(corpus),
        objective=mx.Objective(terms=(("*", 1.0),)),
        rungs=(mx.Rung(label="proxy", scale=mx.Scale(n_tokens=20_000)),),
        budget=mx.Budget(n_trials=4),
    )
    study = mx.new_study(tmp_path / "study", config)
    first = mx.export_trials(study, 2, "card", tmp_path / "asked")
    again = mx.export_trials(study, 4, "card", tmp_path / "asked")
    assert len(again) == 4
    assert {path.name for path in (tmp_path / "asked").iterdir()} == {spec.id for spec in again}
    for spec in first:
        found = mx.read_mixture(tmp_path / "asked" / spec.id, "card").plan.schedule.average
        assert found.as_dict() == pytest.approx(spec.mixture.as_dict())
    with pytest.raises(mx.InputError, match="need a folder"):
        mx.export_trials(study, 1, "card", None)


def test_a_file_that_was_edited_says_what_it_says_now(corpus: Path, tmp_path: Path) -> None:
    mx.export_recipe(recipe_of(corpus, WEIGHTS), "card", tmp_path / "out", corpus=corpus)
    path = tmp_path / "out" / "card.json"
    data = json.loads(path.read_text())
    data["plan"]["schedule"]["stages"][0]["mixture"]["weights"] = [0.2, 0.3, 0.5]
    path.write_text(json.dumps(data))
    assert mx.read_mixture(path, "card").plan.schedule.average.as_dict() == {"books": 0.2, "code": 0.3, "web": 0.5}


def test_what_holds_no_export(tmp_path: Path) -> None:
    with pytest.raises(mx.InputError, match="holds no export"):
        mx.verify_export(tmp_path)
    with pytest.raises(mx.InputError, match="does not exist"):
        mx.read_mixture(tmp_path / "none", "card")


def test_a_broken_export_goes_on_only_with_the_same_order(corpus: Path, tmp_path: Path) -> None:
    part = tmp_path / ".out.part"
    part.mkdir()
    (part / "old").write_text("of another order")
    mx.export_recipe(recipe_of(corpus, WEIGHTS), "card", tmp_path / "out", corpus=corpus)
    assert not (tmp_path / "out" / "old").exists()
    shutil.rmtree(tmp_path / "out")
    assert not (tmp_path / SIDECAR).exists()
    with pytest.raises(mx.InputError, match="--seq-len"):
        mx.export_recipe(recipe_of(corpus, WEIGHTS), "megatron", tmp_path / "out", corpus=corpus)
    assert not list(tmp_path.iterdir())


def asking(corpus: Path) -> mx.StudyConfig:
    """A study that asks for runs over a half of each domain."""
    rungs = (
        mx.Rung(label="proxy", scale=mx.Scale(n_tokens=20_000), unique_share=0.5),
        mx.Rung(label="target", scale=mx.Scale(n_tokens=40_000)),
    )
    return mx.StudyConfig(
        name="outside",
        corpus=str(corpus),
        objective=mx.Objective(terms=(("loss", 1.0),)),
        metrics=(Metric(name="loss"),),
        rungs=rungs,
        budget=mx.Budget(n_trials=12),
    )


def documents_of(path: Path, form: str) -> list[bytes]:
    """The documents under a path as their ids."""
    parts = registry.make("formats", Plug(name=form)).read(path).parts
    return [part.ids(i).astype("<u2").tobytes() for part in parts for i in range(len(part.lengths))]


def test_a_study_asks_in_somebodys_files(corpus: Path, tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", asking(corpus))
    arguments = ["study", "ask", str(tmp_path / "s"), "-n", "6", "--as", "megatron", "-o", str(tmp_path / "asked")]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception).startswith("trial ")
    assert "give --seq-len" in str(refused.exception)
    assert study.pending() == ()
    arguments[4] = "12"
    done = CliRunner().invoke(app, [*arguments, "--seq-len", "4", "--batch-tokens", "0.4k"])
    assert done.exit_code == 0, done.output
    trials = study.pending()
    assert {path.name for path in (tmp_path / "asked").iterdir() if path.name[0] != "."} == {
        "data-0.5", *(spec.id for spec in trials),
    }  # fmt: skip
    for spec in trials:
        # Counted by the halves of the domains that the data hold.
        export = mx.read_export(tmp_path / "asked" / spec.id)
        read = documents_of(tmp_path / "asked" / "data-0.5", "megatron")
        assert sum(one.n_tokens or 0 for one in export.order.domains) * 2 == sum(map(len, read))
        found = mx.read_mixture(tmp_path / "asked" / spec.id, "megatron")
        assert found.plan.schedule == spec.plan.schedule
    answers = tmp_path / "answers.csv"
    answers.write_text("trial,loss\n" + "".join(f"{spec.id},{i}.5\n" for i, spec in enumerate(trials)))
    assert CliRunner().invoke(app, ["study", "tell", str(tmp_path / "s"), str(answers)]).exit_code == 0
    assert not study.pending()


def test_where_one_trial_cannot_be_written_none_is_asked(corpus: Path, tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", asking(corpus))
    before = study.view().record_sha256
    with pytest.raises(InputError, match=r"^trial \w{12}: the weight of `\w+` is under"):
        mx.export_trials(study, 12, "megatron", tmp_path / "asked", seq_len=400, lease=1.0)
    assert (study.view().record_sha256, study.view().leases) == (before, ())
    assert [path.name for path in (tmp_path / "asked").iterdir()] == ["data-0.5"]
    asked = mx.export_trials(study, 12, "megatron", tmp_path / "asked", seq_len=4)
    assert {path.parent.name for path in (tmp_path / "asked").glob("*/phase0.txt")} == {spec.id for spec in asked}


def test_a_folder_that_cannot_be_made_leaves_no_trial_asked(corpus: Path, tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", asking(corpus))
    (tmp_path / "asked").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"^trial \w{12}: .* could not be written"):
        mx.export_trials(study, 3, "megatron", tmp_path / "asked", seq_len=4)
    assert study.pending() == ()


@pytest.mark.parametrize("recommended", ["recipe", "uniform"])
def test_files_of_a_recipe_that_is_not_recommended_say_so(corpus: Path, tmp_path: Path, recommended: str) -> None:
    recipe = recipe_of(corpus, WEIGHTS)
    verdict = replace(recipe.verdict, headline="Stay with uniform.", recommended=recommended)
    write_json(tmp_path / "recipe.json", replace(recipe, verdict=verdict))
    words = ["recipe", "export", str(tmp_path / "recipe.json"), "--to", "card", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--corpus", str(corpus)])
    assert done.exit_code == 0, done.output
    assert ("Stay with uniform." in done.output) == (recommended == "uniform")


def test_a_study_asks_for_the_blend_itself(corpus: Path, tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", asking(corpus))
    specs = mx.export_trials(study, 2, "files", tmp_path / "asked")
    for spec in specs:
        (stage,) = mx.verify_export(tmp_path / "asked" / spec.id).stages
        assert stage.n_tokens == pytest.approx(20_000, abs=1_000)
    before = {path: path.stat().st_mtime_ns for spec in specs for path in (tmp_path / "asked" / spec.id).rglob("*")}
    assert set(specs) < set(mx.export_trials(study, 12, "files", tmp_path / "asked"))
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_megatron_core_trains_the_trials_as_asked(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("megatron.core", reason="needs megatron-core: make verify")
    study = mx.new_study(tmp_path / "s", asking(corpus))
    for spec in mx.export_trials(study, 3, "megatron", tmp_path / "asked", seq_len=20):
        assert mx.verify_export(tmp_path / "asked" / spec.id).stages[0].error <= 1 / 200


def test_rows_of_a_corpus_are_exported_with_a_script_that_makes_the_shares(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    export = mx.export_recipe(recipe_of(corpus, WEIGHTS), "hf", tmp_path / "out", corpus=corpus)
    assert {path.name for path in (tmp_path / "out" / "data").glob("*.jsonl")} == {f"{name}.jsonl" for name in WEIGHTS}
    found = mx.verify_export(tmp_path / "out")
    assert found.stages[0].error < 1e-3
    assert mx.read_mixture(tmp_path / "out", "hf").plan == export.order.plan


def test_a_mixture_of_a_corpus_says_which_domains_share_text(tmp_path: Path) -> None:
    words = [[f"{WORDS[(i * k + k) % 6]}{i}{k}" for k in range(60)] for i in range(40)]
    same = [" ".join(one) for one in words]
    documents = [mx.Document(text=text, label="a") for text in same]
    documents += [mx.Document(text=" ".join(one[:50]) + f" end {i}", label="b") for i, one in enumerate(words)]
    mx.build_corpus(documents, tmp_path / "c", tokenizer="bytes")
    path = tmp_path / "weights.json"
    path.write_text('{"a": 0.75, "b": 0.25}')
    found = mx.read_mixture(path, "weights", corpus=tmp_path / "c", n_tokens=1_000)
    assert any("10-word windows with" in note for note in found.notes)
    assert {one.name: one.n_tokens for one in found.domains}.keys() == {"a", "b"}
    assert mx.read_mixture(path, "weights").notes == ()


@pytest.mark.parametrize(("target", "file"), [("streaming", "train_loader.yaml"), ("olmo_core", "mixture.yaml")])
def test_a_corpus_goes_out_by_the_command_line_and_comes_back(
    target: str, file: str, corpus: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "recipe.json", recipe_of(corpus, WEIGHTS, 8_000))
    out = tmp_path / "out"
    words = ["recipe", "export", str(tmp_path / "recipe.json"), "--to", target, "-o", str(out), "--corpus", str(corpus)]
    done = CliRunner().invoke(app, [*words, "--seq-len", "40", "--batch-tokens", "400"])
    assert done.exit_code == 0, done.output
    assert f"written ({mx.read_export(out).unit})" in done.output
    assert {path.name for path in (out / "data").iterdir() if path.name[0] != "."} == set(WEIGHTS)
    shown = CliRunner().invoke(app, ["recipe", "show", str(out), "--from", target, "--json"])
    assert json.loads(shown.output)["plan"] == to_data(mx.read_export(out).order.plan)
    # A file alone, with what its data tell: all 120 documents, by their tokens.
    (out / SIDECAR).unlink()
    alone = json.loads(CliRunner().invoke(app, ["recipe", "show", str(out / file), "--from", target, "--json"]).output)
    [stage] = alone["plan"]["schedule"]["stages"]
    found = dict(zip(stage["mixture"]["domains"], stage["mixture"]["weights"], strict=True))
    assert found == pytest.approx(WEIGHTS)
    assert (alone["unit"], alone["plan"]["scale"]["n_tokens"]) == ("tokens", 8_000)
    sizes = {one.name: one.n_tokens or 0 for one in open_store(corpus).corpus.domains}
    for one in alone["domains"]:
        assert 0 <= sizes[one["name"]] - one["n_tokens"] < 40


@pytest.mark.slow
@pytest.mark.parametrize(("target", "module"), [("streaming", "streaming"), ("olmo_core", "olmo_core")])
def test_a_corpus_goes_out_by_the_command_line_and_is_verified(
    target: str, module: str, corpus: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {registry.part('exporters', target).package}: make verify")
    write_json(tmp_path / "recipe.json", recipe_of(corpus, WEIGHTS, 8_000))
    words = ["recipe", "export", str(tmp_path / "recipe.json"), "--to", target, "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(
        app, [*words, "--corpus", str(corpus), "--seq-len", "40", "--batch-tokens", "400", "--verify"]
    )
    assert done.exit_code == 0, done.output
    assert "Largest difference: 0.000000" in done.output


def test_a_small_run_of_whole_documents_is_near_enough(corpus: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "recipe.json", recipe_of(corpus, WEIGHTS))
    out = tmp_path / "out"
    words = ["recipe", "export", str(tmp_path / "recipe.json"), "--to", "files", "-o", str(out), "--verify"]
    done = CliRunner().invoke(app, [*words, "--corpus", str(corpus)])
    assert done.exit_code == 0, done.output
    [stage] = mx.verify_export(out).stages
    assert 1e-3 < stage.error <= stage.allowed == stage.resolution < 0.1
    assert f"leaves differences of up to {stage.resolution:.4g} in so few tokens" in done.output
    # Half of the documents of one domain are lost on the way.
    [path] = (out / "data" / "stage0").glob("*.jsonl")
    rows = path.read_text().splitlines()
    lost = [row for i, row in enumerate(rows) if json.loads(row)["domain"] == "code" and i % 2]
    path.write_text("\n".join(row for row in rows if row not in lost) + "\n")
    checked = CliRunner().invoke(app, ["recipe", "check", str(out)])
    assert checked.exit_code == 1
    assert ", more than " in checked.output


def test_the_files_with_holes_are_those_that_the_corpus_and_the_recipe_can_fill(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    config = replace(asking(corpus), corpus="../corpus")
    (tmp_path / "study").mkdir()
    study, recipe = mx.new_study(tmp_path / "study", config), recipe_of(corpus, WEIGHTS)
    # No length of a sequence is known: only where none is needed.
    found = snippets(study, recipe)
    assert set(found) == {"megatron", "weights"}
    mx.export_recipe(recipe, "weights", tmp_path / "out")
    assert found["weights"].text(recipe.mixture) == (tmp_path / "out" / "weights.json").read_text()
    # The limits are those that the recipe was made under, as in an export, whatever the study says.
    model = ModelSpec(n_layers=2, d_model=32, n_heads=2, vocab_size=257, seq_len=16)
    capped = replace(recipe, plan=replace(recipe.plan, model=model), constraints=Constraints(max_epochs=9.0))
    (study.folder / "capped.json").write_text(json.dumps({"schema": 1, **to_data(capped)}))
    mx.export_recipe(study.folder / "capped.json", "nemo", tmp_path / "capped")
    written = (tmp_path / "capped" / "stage0.yaml").read_text()
    assert "# Limits on epochs over the run: books 9, code 9, web 9" in written
    assert snippets(study, capped)["nemo"].text(recipe.mixture) == written
    (tmp_path / "corpus" / MANIFEST).write_text("{}")
    assert snippets(study, recipe) == {}
