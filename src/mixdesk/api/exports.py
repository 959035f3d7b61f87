"""Flows of export: a recipe or a trial as the files of somebody's trainer, verified by it, and theirs read back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixdesk.api.corpora import read_overlap
from mixdesk.api.recipes import read_recipe
from mixdesk.api.studies import hand_out, open_study
from mixdesk.core import registry
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import Infeasible, InputError, MixdeskError
from mixdesk.core.export import EPOCHS_TOLERANCE, SIDECAR, Export, Imported, Order, Snippet, Verification, in_tokens
from mixdesk.core.files import read_data, read_json, to_data, write_json
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan, TrialSpec
from mixdesk.core.protocols import Exporter, HasSnippet, Progress
from mixdesk.core.recipe import Recipe
from mixdesk.core.space import Constraints
from mixdesk.study import sizes
from mixdesk.study.answers import Question
from mixdesk.study.study import Study

if TYPE_CHECKING:
    from mixdesk.corpus.shards import TokenStore

N_SAMPLES = 100_000
# Overlap that is worth a word: below it, boilerplate is shared.
LEAST_SHARED = 0.01
# Shares this near to what was written are what was written.
ROUNDING = 1e-6


def export_recipe(  # noqa: PLR0913  (mirrors the command line)
    source: Recipe | Path | str,
    to: Plug | str,
    out: Path | str,
    *,
    corpus: Path | str | None = None,
    n_tokens: int | str | None = None,
    seq_len: int | None = None,
    batch_tokens: int | str | None = None,
    data: str | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write a recipe as the files of a trainer, with the data it reads where the corpus has it; the folder is new.

    Args:
        source: a recipe, its file, or the study folder that holds one.
        to: exporter, with options: `megatron`.
        out: folder to write; appears whole or not at all, and a broken export goes on where it was.
        corpus: folder of the corpus. Default: the study's.
        n_tokens: tokens of the run, repeats included. Default: the plan's.
        seq_len: tokens of a sequence. Default: the model's.
        batch_tokens: tokens of a step. Default: the hyper-parameters'.
        data: folder of data that exists already, as the files should name it; nothing is written then.
        progress: called with (what, done, total).

    Raises:
        InputError: no recipe or exporter there, a folder that is not empty, something the target cannot express, a
            corpus that is not the recipe's, or a number that it needs and nobody told.
        Infeasible: a limit on epochs that the target cannot keep.
    """
    folder = _folder_of(source)
    recipe = source if isinstance(source, Recipe) else read_recipe(source)
    study = open_study(folder) if folder is not None and (folder / "study.db").exists() else None
    if recipe.verdict.exit_code:
        raise InputError(
            "the recipe is refused, so there is nothing to train on", value=recipe.verdict.headline,
            bound="a recipe with an answer", remedy=recipe.verdict.remedy.rstrip("."),
        )  # fmt: skip
    order = _order(study, recipe.plan, corpus, limits=recipe.constraints)
    order = replace(
        order,
        recipe=recipe,
        source=_source(recipe),
        n_tokens=order.n_tokens if n_tokens is None else sizes.told("n_tokens", n_tokens),
        seq_len=order.seq_len if seq_len is None else seq_len,
        batch_tokens=order.batch_tokens if batch_tokens is None else sizes.told("batch_tokens", batch_tokens),
    )
    store = _store(study, corpus, recipe)
    return _write(order, _plug(to), Path(out), None if data is not None else store, data, progress)


def export_trials(  # noqa: PLR0913  (mirrors the command line)
    study: Study,
    n: int,
    to: Plug | str,
    out: Path | str | None,
    *,
    repeats: bool = False,
    confirm: bool = False,
    lease: float | None = None,
    holder: str = "",
    seq_len: int | None = None,
    batch_tokens: int | str | None = None,
    data: str | None = None,
) -> tuple[TrialSpec, ...]:
    """Ask the next n trials of a study and write each as the files of a trainer, in a folder of its id under `out`.

    The data that they read are written once, as `out/data`, where the corpus has them; trials of a part of the corpus
    (`unique_share`: simulated epochs) read that part, as `out/data-0.25`, and trials of several stages have data of
    their own. Where one trial cannot be written none is asked, and of the folders only `out/data` stays, with which the
    next try goes on.

    Args:
        study: to ask.
        n: how many.
        to: exporter, with options.
        out: folder.
        repeats: as in `ask_study`.
        confirm: as in `ask_study`.
        lease: as in `ask_study`.
        holder: as in `ask_study`.
        seq_len: tokens of a sequence. Default: the model's.
        batch_tokens: tokens of a step. Default: the hyper-parameters'.
        data: folder of data that exists already, as the files should name it.

    Raises:
        InputError: no `out`, or as in `ask_study` and `export_recipe`.
        Infeasible: no mixture satisfies the constraints.
    """
    plug = _plug(to)
    if out is None:
        raise InputError(
            "files for a trainer need a folder", value="no --out", bound="a folder", remedy="add `-o asked`"
        )
    exporter: Exporter = registry.make("exporters", plug)
    store = _store(study, None, None) if data is None else None
    made: list[Path] = []

    def write(questions: Sequence[Question]) -> None:
        _discard(made)  # of questions that another process was quicker to ask
        for spec, *_ in questions:
            out_one = Path(out) / spec.id
            if (out_one / SIDECAR).is_file():
                continue
            order = _order(study, spec.plan, None, spec.unique_share)
            order = replace(
                order,
                source=f"trial {spec.id} of study {study.config.name}",
                max_epochs=(),
                seq_len=order.seq_len if seq_len is None else seq_len,
                batch_tokens=order.batch_tokens if batch_tokens is None else sizes.told("batch_tokens", batch_tokens),
            )
            shared = "../data" if spec.unique_share == 1.0 else f"../data-{spec.unique_share:g}"
            is_shared = bool(exporter.data) and len(spec.plan.schedule.stages) == 1
            folder = data or (shared if is_shared and store is not None else None)
            try:
                _write(order, plug, out_one, store, folder, None, spec.unique_share)
            except MixdeskError as error:
                raise error.within(f"trial {spec.id}") from None
            made.append(out_one)

    try:
        return hand_out(study, n, write=write, repeats=repeats, confirm=confirm, lease=lease, holder=holder)
    except BaseException:
        _discard(made)
        raise


def _discard(folders: list[Path]) -> None:
    """Take away what was written for questions that are not asked after all."""
    while folders:
        shutil.rmtree(folders.pop())


def snippets(study: Study, recipe: Recipe) -> dict[str, Snippet]:
    """Target → its main file with holes for the weights, where it is a plain function of them: what the desk offers.

    The files are those of `export_recipe` for a recipe of one stage with the same run. A target is left out that needs
    a number which neither the recipe nor the study's corpus tells; all are where the corpus is damaged.
    """
    found: dict[str, Snippet] = {}
    plan = replace(recipe.plan, schedule=Schedule.constant(Mixture.uniform(recipe.plan.schedule.domains)))
    try:
        order = replace(_order(study, plan, None, limits=recipe.constraints), source=_source(recipe))
    except InputError:
        return found
    for name in registry.names("exporters"):
        exporter = registry.make("exporters", Plug(name=name))
        if isinstance(exporter, HasSnippet):
            with suppress(InputError):
                found[name] = exporter.snippet(order)
    return found


def verify_export(out: Path | str, n: int = N_SAMPLES) -> Verification:
    """Shares of tokens that the target's own parser and sampler make of an export, beside those asked.

    Raises:
        InputError: no export there, the target's package is not installed, or its files or data are not whole.
    """
    out = Path(out)
    export = read_export(out)
    exporter: Exporter = registry.make("exporters", Plug(name=export.target))
    try:
        return exporter.verify(out, export, n)
    except ModuleNotFoundError as error:
        package = exporter.package
        raise InputError(
            f"`{export.target}` is verified by its own code, which is not installed", value=f"no module {error.name}",
            bound=package or "a machine of the target's",
            remedy=f"run `make verify`, or: pip install --no-deps {package}" if package else "verify it there",
        ) from None  # fmt: skip


def read_export(out: Path | str) -> Export:
    """What an export says of itself.

    Raises:
        InputError: no export there.
    """
    path = Path(out) / SIDECAR
    if not path.is_file():
        raise InputError(
            f"`{out}` holds no export", value=f"no {SIDECAR}", bound="a folder that `mixdesk recipe export` wrote",
            remedy="export a recipe there",
        )  # fmt: skip
    return read_json(path, Export)


def read_mixture(
    path: Path | str, form: Plug | str, *, corpus: Path | str | None = None, n_tokens: int | str | None = None
) -> Imported:
    """The mixture in a configuration file of somebody's trainer, as shares of tokens where that can be known.

    Shares of rows or documents become shares of tokens by the mean lengths that the file's own data, a `mixdesk.json`
    beside it or the corpus tell; without any they stay what they are, and a note says so. A file of ours that still
    says what we wrote gives the mixture that was asked, before the target's rounding.

    Args:
        path: the file, or a folder that was exported.
        form: exporter that knows the format, with options.
        corpus: folder of a corpus with counts.
        n_tokens: tokens of the run. Default: what the file says.

    Raises:
        InputError: no such exporter, or not a file of it.
    """
    path = Path(path)
    exporter: Exporter = registry.make("exporters", _plug(form))
    if not path.exists():
        raise InputError(f"`{path}` does not exist", value="no such file", bound="a file", remedy="check the path")
    found = exporter.read(path)
    beside = (path if path.is_dir() else path.parent) / SIDECAR
    domains = found.domains
    if corpus is not None:
        store = _store(None, corpus, None)
        domains = () if store is None else store.corpus.domains
        found = replace(found, notes=(*found.notes, *_shared_text(corpus, found)))
    elif beside.is_file():
        export = read_export(beside.parent)
        domains = domains or export.order.domains
        if _is_as_written(in_tokens(replace(found, domains=domains)).plan, export):
            return Imported(plan=export.order.plan, domains=export.order.domains, limits=found.limits)
    if n_tokens is not None:
        scale = replace(found.plan.scale, n_tokens=sizes.told("n_tokens", n_tokens))
        found = replace(found, plan=replace(found.plan, scale=scale))
    return in_tokens(replace(found, domains=domains))


def _shared_text(corpus: Path | str, found: Imported) -> list[str]:
    """Domains of the mixture that share text, where the corpus has it measured: their weights are not their own."""
    measured, names = read_overlap(corpus), set(found.plan.schedule.domains)
    if measured is None:
        return []
    pairs = [
        (share, one, other)
        for one, row in zip(measured["names"], measured["windows"], strict=True)
        for other, share in zip(measured["names"], row, strict=True)
        if one != other and share is not None and {one, other} <= names
    ]
    largest, one, other = max(pairs, default=(0.0, "", ""))
    if largest < LEAST_SHARED:
        return []
    words = measured["window_words"]
    return [
        f"`{one}` shares {largest:.0%} of its {words}-word windows with `{other}`, the most of any two domains here: "
        "what the mixture has of such text is more than either weight says."
    ]


def _is_as_written(plan: RunPlan, export: Export) -> bool:
    stages = plan.schedule.stages
    if len(stages) != len(export.stages):
        return False
    pairs = zip(stages, export.stages, strict=True)
    return all(
        abs(stage.mixture.as_dict().get(one.domain, 0.0) - one.realised) <= ROUNDING
        for stage, written in pairs
        for one in written.shares
    )


def _write(
    order: Order,
    plug: Plug,
    out: Path,
    store: TokenStore | None,
    data: str | None,
    progress: Progress | None,
    share: float = 1.0,
) -> Export:
    """Write into a neighbour of `out` that takes its name at the end."""
    from mixdesk.export.data import write_attribution

    exporter: Exporter = registry.make("exporters", plug)
    _refuse_full(out)
    order = replace(order, data=data or order.data)
    part = out.with_name(f".{out.name}.part")
    asked = {"exporter": to_data(plug), "order": to_data(order)}
    if part.exists() and not _is_same(part / "order.json", asked):
        shutil.rmtree(part)
    write_json(part / "order.json", asked)
    try:
        export = exporter.export(order, part)
        _check_limits(export)
    except MixdeskError:
        shutil.rmtree(part)
        raise
    _write_data(export, exporter, part, store, share, progress)
    files = export.files + (tuple(write_attribution(store, part, order.names)) if store is not None else ())
    export = replace(export, target=plug.name, files=files)
    write_json(part / SIDECAR, export)
    (part / "order.json").unlink()
    if out.exists():
        out.rmdir()
    part.replace(out)
    return export


def _write_data(
    export: Export,
    exporter: Exporter,
    out: Path,
    store: TokenStore | None,
    share: float,
    progress: Progress | None,
) -> None:
    """The data of an export in the layout that it says, where the corpus has tokens.

    Raises:
        InputError: a layout that only we can write, and no corpus with tokens.
    """
    from mixdesk.export.blend import write_blend
    from mixdesk.export.data import write_data, write_stages

    order, folder, layout = export.order, out / export.order.data, export.layout.name
    form = exporter.data.format(seq_len=order.seq_len)
    if layout == "domains" and not form:
        return
    if store is None or not store.corpus.shards:
        if layout != "domains":
            raise InputError(
                f"the data of `{exporter.title}` are mixdesk's to write", value="no corpus with tokens, or --data",
                bound="a built corpus", remedy="name one with --corpus",
            )  # fmt: skip
    elif layout == "domains":
        write_data(store, form, folder, order.names, share, progress)
    else:
        pairs = zip(export.stages, order.stages(), strict=True)
        spent = [{one.domain: one.weight * stage.n_tokens for one in written.shares} for written, stage in pairs]
        if layout == "stages":
            write_stages(store, form, folder, spent, share, progress)
        else:
            write_blend(store, folder, spent, share=share, progress=progress, **dict(export.layout.options))


def _check_limits(export: Export) -> None:
    """Whether no domain is passed more often than it may, as realised.

    Raises:
        Infeasible: one is.
    """
    spent: dict[str, float] = {}
    for stage in export.stages:
        for one in stage.shares:
            spent[one.domain] = spent.get(one.domain, 0.0) + (one.epochs or 0.0)
    for name, most in export.order.max_epochs:
        if spent.get(name, 0.0) > most * (1.0 + EPOCHS_TOLERANCE):
            raise Infeasible(
                f"`{name}` would be passed more often than it may", value=f"{spent[name]:.4g} epochs",
                bound=f"≤ {most:g} epochs", remedy="shorten the run, or raise max_epochs and make the recipe again",
            )  # fmt: skip


def _order(
    study: Study | None,
    plan: RunPlan,
    corpus: Path | str | None,
    share: float = 1.0,
    limits: Constraints | None = None,
) -> Order:
    """The plan with what the study and its corpus know; `limits` that it was made under, else the study's."""
    from mixdesk.export.data import counts

    store = _store(study, corpus, None)
    known: Corpus | None = store.corpus if store is not None else None if study is None else study.corpus
    caps: dict[str, float] = {}
    if limits is None and study is not None:
        limits = study.config.constraints
    if limits is not None and known is not None:
        caps = {} if limits.max_epochs is None else dict.fromkeys(known.names, limits.max_epochs)
        for pattern, most in limits.epoch_caps:
            caps |= {name: most for name in known.names if fnmatchcase(name, pattern)}
    domains = () if known is None else known.domains
    if store is not None and share < 1.0 and store.corpus.shards:
        domains = counts(store, share)
    return Order(
        plan=plan,
        domains=domains,
        tokenizer=None if known is None else known.tokenizer,
        n_tokens=plan.scale.n_tokens,
        seq_len=None if plan.model is None else plan.model.seq_len,
        batch_tokens=None if plan.hyper is None else plan.hyper.batch_tokens,
        max_epochs=tuple(caps.items()),
    )


def _source(recipe: Recipe) -> str:
    return f"recipe of study {recipe.provenance.study}"


def _store(study: Study | None, corpus: Path | str | None, recipe: Recipe | None) -> TokenStore | None:
    """The corpus: named, or the study's; None where there is none or it is gone.

    Raises:
        InputError: it is not the corpus that the recipe was made on.
    """
    from mixdesk.corpus.shards import MANIFEST, open_store

    path = Path(corpus) if corpus is not None else None
    if path is None and study is not None and study.config.corpus is not None:
        path = study.folder / study.config.corpus
        path = path if (path / MANIFEST).is_file() else None
    if path is None:
        return None
    store = open_store(path)
    made_on = None if recipe is None else recipe.provenance.corpus
    if made_on is not None and made_on != store.corpus.fingerprint:
        raise InputError(
            f"the corpus at `{path}` is not the one the recipe was made on", value=store.corpus.fingerprint[:12],
            bound=made_on[:12],
            remedy="carry the study over with `mixdesk study extend` and make the recipe again, or name the old corpus",
        )  # fmt: skip
    return store


def _folder_of(source: Recipe | Path | str) -> Path | None:
    if isinstance(source, Recipe):
        return None
    path = Path(source)
    return path if path.is_dir() else path.parent


def _refuse_full(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"`{out}` is there already", value="a file" if out.is_file() else "a folder that is not empty",
            bound="a new folder", remedy="choose another one, or remove it",
        )  # fmt: skip


def _is_same(path: Path, asked: dict[str, Any]) -> bool:
    try:
        return read_data(path) == asked
    except InputError:
        return False


def _plug(part: Plug | str) -> Plug:
    return part if isinstance(part, Plug) else Plug.parse(part)
