"""litgpt: LitData's combined data set over a folder of each domain, and a data module for `litgpt pretrain --data`.

    P(block of d) = w_d; a cycle ends after about min_d (N_d / (L + 1)) / w_d blocks; e_d = w_d T (L + 1) / (L N_d)

w_d share of tokens, T tokens of the run, L tokens of a sequence; a block is L + 1 tokens, of which L are predicted; N_d
unique tokens. When the first domain ends all begin again.
"""

from __future__ import annotations

import ast
import math
import runpy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from mixdesk.core import registry
from mixdesk.core.corpus import Domain
from mixdesk.core.errors import InputError
from mixdesk.core.export import (
    Each,
    Export,
    ExportStage,
    Imported,
    Order,
    OrderStage,
    Realised,
    Snippet,
    Verification,
)
from mixdesk.core.files import write_text
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export import configs, python
from mixdesk.export.units import as_stage, used

CODE, MODULE = "mixture.py", "litgpt_data.py"
SENTENCE = (
    "LitData draws each block at random with these weights, and begins all domains again when the first one ends."
)
ARITHMETIC = "weight = share of tokens; a block is sequence length + 1 tokens"
# The file after its list of shares.
_TAIL = '''\
]
NAMES = [name for name, _, _ in DOMAINS]


def mixture(block_size=SEQ_LEN + 1, seed=42):
    """Blocks of `block_size` tokens, drawn at random by the shares."""
    from litdata import CombinedStreamingDataset, StreamingDataset, TokensLoader

    datasets = [
        StreamingDataset(
            str(HERE / folder), item_loader=TokensLoader(block_size=block_size), shuffle=True, drop_last=True
        )
        for _, folder, _ in DOMAINS
    ]
    weights = [share for _, _, share in DOMAINS]
    return CombinedStreamingDataset(datasets, seed=seed, weights=weights, iterate_over_all=False)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Litgpt:
    """`mixture.py` with LitData's data set and `litgpt_data.py` with litgpt's data module; one stage only."""

    title: ClassVar[str] = "litgpt: LitData's combined data set (Python)"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = "litdata==0.2.59"
    data: ClassVar[str] = "litdata"

    def export(self, order: Order, out: Path) -> Export:
        """Write `mixture.py` and `litgpt_data.py`.

        Raises:
            InputError: a schedule, for which litgpt has no stages; a weight under a block; a number that is not known.
        """
        stages = list(order.stages())
        if len(stages) > 1:
            raise InputError(
                "litgpt cannot change the mixture during a run", value=f"{len(stages)} stages", bound="one stage",
                remedy="make a recipe of one stage, or export to a target with stages: nanotron, levanter",
            )  # fmt: skip
        stage, length = stages[0], order.need("seq_len")
        for name, weight in used(stage).items():
            if weight * stage.n_tokens < length:
                why = "it is under one block of the run"
                raise configs.too_small(name, weight, length / stage.n_tokens, why)
        written = _longer(as_stage(order, stage, used(stage), files=(CODE, MODULE)), length)
        write_text(out / CODE, _code(order).text(stage.mixture))
        write_text(out / MODULE, _module(order))
        return Export(
            target="litgpt",
            unit="blocks",
            sentence=SENTENCE,
            arithmetic=ARITHMETIC,
            stages=(written,),
            order=order,
            losses=tuple(_losses(order, stage)),
            files=(CODE, MODULE),
        )

    def snippet(self, order: Order) -> Snippet:
        """`mixture.py` with holes for the weights.

        Raises:
            InputError: a number that is not known.
        """
        return replace(_code(order), least=order.need("seq_len") / order.need("n_tokens"))

    def read(self, path: Path) -> Imported:
        """The weights of the first combined data set in a Python file, or in `mixture.py` of a folder."""
        path = path / CODE if path.is_dir() else path
        tree = python.parsed(path)
        assigned = python.assigned(tree)
        notes: list[str] = []
        folders, weights = _combined(path, tree, assigned, notes)
        names = configs.names_of([folder.rstrip("/") for folder in folders], path.parent)
        domains = {}
        for name, folder in zip(names, folders, strict=True):
            try:
                parts = registry.make("formats", Plug(name="litdata")).read(path.parent / folder).parts
            except InputError:
                continue
            lengths = [part.lengths for part in parts]
            domains[name] = Domain(
                name=name, n_tokens=sum(int(one.sum()) for one in lengths), n_docs=sum(len(one) for one in lengths)
            )
        if weights is None:
            sizes = [domains[name].n_tokens or 0 for name in names if name in domains]
            if len(sizes) < len(names):
                raise configs.no_file(path, "no weights, and data that are not here", "weights, or data to count")
            notes.append("No weights are given: each data set has the share of its length.")
            weights = [float(size) for size in sizes]
        if len(weights) != len(names):
            raise configs.no_file(path, f"{len(names)} data sets, {len(weights)} weights", "a weight for each")
        mixture = configs.merged(names, weights, notes)
        told = assigned.get("N_TOKENS")
        n_tokens = told.value if isinstance(told, ast.Constant) and isinstance(told.value, int) else None
        scale = Scale(n_tokens=n_tokens)
        return Imported(
            plan=RunPlan(schedule=configs.schedule(path, [(1.0, mixture)]), scale=scale),
            domains=tuple(one for _, one in sorted(domains.items())),
            notes=tuple(notes),
        )

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Blocks that the written file's own data set yields, cycle after cycle: the run's, or n of them."""
        import litdata  # noqa: F401  (to say that it is missing before anything runs)

        order = export.order
        length, written = order.need("seq_len"), export.stages[0]
        total = max(min(order.need("n_tokens") // length, n), 1)
        found: dict[str, Any] = runpy.run_path(str(out / CODE))
        blocks, cycles, longest = dict.fromkeys(found["NAMES"], 0), 0, 0
        try:
            data = found["mixture"](block_size=length + 1)
            while (done := sum(blocks.values())) < total:
                cycles += 1
                data.set_epoch(cycles)
                draw = iter(data)
                for _, _ in zip(range(total - done), draw, strict=False):
                    pass
                drawn = list(draw._num_samples_yielded)
                blocks = {name: blocks[name] + k for name, k in zip(blocks, drawn, strict=True)}
                longest = max(longest, sum(drawn))
                if not sum(drawn):
                    raise ValueError("a data set has no block")
        except (ValueError, FileNotFoundError, RuntimeError) as error:
            raise InputError(
                "LitData refuses the files", value=str(error).splitlines()[0], bound="data as the export names them",
                remedy="export again, with the corpus that has the tokens",
            ) from None  # fmt: skip
        stage = Realised(
            asked=tuple((one.domain, one.weight) for one in written.shares),
            realised=tuple((name, k / total) for name, k in blocks.items()),
            n_tokens=total * length,
            # Every cycle draws the same order of domains: more of them do not average chance away.
            chance=max(math.sqrt(one.weight * (1.0 - one.weight) / longest) for one in written.shares),
        )
        how = f"Run with {self.package}: {CODE}'s own data set drew {total:,} blocks in {cycles} cycles."
        return Verification(stages=(stage,), how=how)


def _longer(stage: ExportStage, length: int) -> ExportStage:
    """A stage whose epochs count the token more that a block reads."""
    factor = (length + 1) / length
    shares = (replace(one, epochs=None if one.epochs is None else one.epochs * factor) for one in stage.shares)
    return replace(stage, shares=tuple(shares))


def _code(order: Order) -> Snippet:
    header = "\n".join(configs.header(order, SENTENCE, ARITHMETIC))
    rows = Each(
        pieces=tuple(
            (f"    ({configs.quoted(name)}, {configs.quoted(f'{order.data}/{name}')}, ", "),\n") for name in order.names
        )
    )
    head = f'''{header}
"""The mixture as a data set of LitData: folders are relative to this file."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
# Tokens of the run, and of a sequence.
N_TOKENS, SEQ_LEN = {order.need("n_tokens")}, {order.need("seq_len")}
# Domain, folder, share of tokens.
DOMAINS = [
'''
    return Snippet(file=CODE, sentence=SENTENCE, domains=order.names, parts=(head, rows, _TAIL))


def _module(order: Order) -> str:
    header = "\n".join(configs.header(order, SENTENCE, ARITHMETIC))
    return f'''{header}
"""The mixture as a data module: `PYTHONPATH=. litgpt pretrain MODEL --data litgpt_data.Mixture --train.max_tokens N`,
with `--train.max_seq_length {order.need("seq_len")}` and N = {order.need("n_tokens")}.
"""

from dataclasses import dataclass, field

from litgpt.data import DataModule

from mixture import mixture


@dataclass
class Mixture(DataModule):
    """Training blocks of the mixture; validation blocks of the folder `val_path`, or of the mixture without one."""

    val_path: str | None = None
    seed: int = 42
    num_workers: int = 4

    batch_size: int = field(init=False, repr=False, default=1)
    block_size: int = field(init=False, repr=False, default={order.need("seq_len") + 1})

    def __post_init__(self):
        super().__init__()

    def connect(self, tokenizer=None, batch_size=1, max_seq_length=None):
        self.batch_size = batch_size
        if max_seq_length is not None:
            self.block_size = max_seq_length + 1

    def train_dataloader(self):
        return self._loader(mixture(self.block_size, self.seed))

    def val_dataloader(self):
        from litdata import StreamingDataset, TokensLoader

        if self.val_path is None:
            return self._loader(mixture(self.block_size, self.seed))
        return self._loader(StreamingDataset(self.val_path, item_loader=TokensLoader(block_size=self.block_size)))

    def _loader(self, data):
        from litdata import StreamingDataLoader

        return StreamingDataLoader(
            data, batch_size=self.batch_size, num_workers=self.num_workers, pin_memory=True, drop_last=True
        )
'''


def _losses(order: Order, stage: OrderStage) -> list[str]:
    weights, length = used(stage), order.need("seq_len")
    blocks = stage.n_tokens / length
    wobble = max(math.sqrt(one * (1.0 - one) / blocks) for one in weights.values())
    lines = [
        f"Domains are drawn at random: a share of tokens differs by about {100 * wobble:.2g} % of the run "
        "(a standard deviation).",
        "What a chunk has beyond whole blocks is never read: up to a block of each chunk of 64 MB.",
    ]
    sizes = {name: (order.domain(name).n_tokens or 0) // (length + 1) / weight for name, weight in weights.items()}
    known = {name: size for name, size in sizes.items() if size}
    first = min(known, key=lambda name: known[name], default=None)
    if first is not None and known[first] < blocks:
        lines.append(
            f"After about {known[first] * length:,.0f} tokens `{first}` ends, and every domain begins anew, in another "
            "order of blocks: domains with blocks left repeat some of them, and the order of domains is the same again."
        )
    return lines


def _combined(
    path: Path, tree: ast.Module, assigned: dict[str, ast.expr], notes: list[str]
) -> tuple[list[str], list[float] | None]:
    """Folders and weights of the first combined data set.

    Raises:
        InputError: none, or one that is not written out in the file.
    """
    if "DOMAINS" in assigned:
        wanted = "a list of (domain, folder, share)"
        rows = python.literal(path, assigned["DOMAINS"], wanted)
        try:
            triples = [(str(folder), float(share)) for _, folder, share in rows]
        except (TypeError, ValueError) as error:
            raise configs.no_file(path, str(error), wanted) from None
        return [folder for folder, _ in triples], [share for _, share in triples]
    call = next(iter(python.calls(tree, "CombinedStreamingDataset")), None)
    if call is None:
        raise configs.no_file(path, "no CombinedStreamingDataset", "a Python file that makes one")
    sets = python.argument(call, "datasets", 0, assigned)
    if not isinstance(sets, ast.List | ast.Tuple) or not sets.elts:
        raise configs.no_file(path, ast.unparse(call), "data sets written out as a list")
    folders = []
    for one in sets.elts:
        value = assigned.get(ast.unparse(one), one)
        place = python.argument(value, "input_dir", 0, assigned) if isinstance(value, ast.Call) else value
        texts = [node.value for node in ast.walk(place or one) if isinstance(node, ast.Constant)]
        named = [text for text in texts if isinstance(text, str) and text.strip("/")]
        is_whole = isinstance(place, ast.Constant) and bool(named)
        folders.append(named[0] if is_whole else named[0].strip("/") if named else ast.unparse(place or one))
    weights = python.argument(call, "weights", 2, assigned)
    if weights is None or (isinstance(weights, ast.Constant) and weights.value is None):
        return folders, None
    if python.argument(call, "iterate_over_all", 3, assigned) is None:
        notes.append("`iterate_over_all=False` is missing: LitData refuses weights without it.")
    told = python.literal(path, weights, "weights as numbers")
    if not isinstance(told, list | tuple) or not all(isinstance(one, int | float) for one in told):
        raise configs.no_file(path, f"weights of {told!r}", "weights as numbers")
    return folders, [float(one) for one in told]
