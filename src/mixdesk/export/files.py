"""The blend as files: whole documents in the right numbers, shuffled, for any trainer that reads a file from its start.

    documents of a domain are taken until they hold w_d T tokens, to half a document
    |share of d − w_d| ≤ ((1 − w_d) h_d + w_d Σ_{j≠d} h_j) / n

w_d share of training tokens, T tokens of the stage, n those in its files, h_d half the document at which the domain was
cut, and half of the one at the cut before. No sampler is left to decide anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks, registry
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, ExportStage, Imported, Order, Realised, Verification
from mixdesk.core.files import read_data, write_json
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.scale import Scale
from mixdesk.export.blend import CUTS
from mixdesk.export.configs import no_file, schedule
from mixdesk.export.units import as_realised, as_stage, resolution, used

CONTENTS = "files.json"
FORMS = ("jsonl", "parquet", "megatron")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The documents of each stage in the order to train on, as `data/stage0/00000.jsonl`, ….

    Fields: `form` jsonl, parquet (both with text, domain and tokens) or megatron (`.bin` and `.idx`); `seed` of the
    order.
    """

    title: ClassVar[str] = "the blend itself: JSON lines, Parquet or Megatron's .bin"
    reference: ClassVar[str] = ""
    package: ClassVar[str] = ""
    data: ClassVar[str] = ""

    form: str = "jsonl"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("form", self.form, FORMS)
        checks.count("seed", self.seed)

    def export(self, order: Order, out: Path) -> Export:
        """Write `files.json`, which says what the files hold.

        Raises:
            InputError: the tokens of the run are not known.
        """
        stages = list(order.stages())
        folders = [f"{order.data}/stage{i}" for i in range(len(stages))]
        rows = [
            {"folder": folder, "end": stage.end, "weights": used(stage)}
            for folder, stage in zip(folders, stages, strict=True)
        ]
        sentence = (
            "Nobody applies a weight: the files of a stage hold the documents in the order to train on, to be read "
            "once from the first to the last."
        )
        about = {"source": order.source, "form": self.form, "seed": self.seed, "domains": list(order.names)}
        write_json(out / CONTENTS, {**about, "sentence": sentence, "stages": rows})
        layout = Plug(name="blend", options=(("form", self.form), ("seed", self.seed)))
        written = [
            as_stage(order, stage, {name: weight * stage.n_tokens for name, weight in used(stage).items()}, None, [one])
            for stage, one in zip(stages, folders, strict=True)
        ]
        losses = [
            "Documents are whole: a domain has its tokens to half of one, at least one, and a stage to half of each."
        ]
        if self.form == "megatron":
            losses.append("Megatron shuffles what it reads: the order in the files is kept by other loaders only.")
        return Export(
            target="files", unit="tokens in the files", sentence=sentence, arithmetic="written = weight · tokens",
            stages=tuple(written), order=order, losses=tuple(losses), files=(CONTENTS,), layout=layout,
        )  # fmt: skip

    def read(self, path: Path) -> Imported:
        """What `files.json` says.

        Raises:
            InputError: not such a file.
        """
        path = path / CONTENTS if path.is_dir() else path
        stages = _stages(path, read_data(path))
        plan = RunPlan(
            schedule=schedule(path, [(float(one["end"]), one["weights"]) for one in stages]),
            scale=Scale(n_tokens=int(stages[-1]["end"])),
        )
        return Imported(plan=plan)

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Count the tokens of all documents in the files.

        Raises:
            InputError: the files are not there.
        """
        data = read_data(out / CONTENTS)
        stages, before = list[Realised](), dict[str, float]()
        for k, (said, written) in enumerate(zip(_stages(out / CONTENTS, data), export.stages, strict=True)):
            counted = _counted(out / said["folder"], data["form"], data["domains"], written)
            cuts = read_data((out / said["folder"]).parent / CUTS)["stages"][k]
            loose = {one.domain: cuts[one.domain] + before.get(one.domain, 0.0) for one in written.shares}
            stages.append(replace(counted, resolution=resolution(written, loose, counted.n_tokens)))
            before = cuts
        total = sum(one.n_tokens for one in stages)
        how = f"All documents of the files counted, {total:,} tokens: there is no sampler between them and the trainer."
        return Verification(stages=tuple(stages), how=how)


def _stages(path: Path, data: dict[str, Any]) -> list[dict[str, Any]]:
    found = data.get("stages")
    if not isinstance(found, list) or not found or data.get("form") not in FORMS:
        raise no_file(path, ", ".join(data) or "nothing", "`files.json` of an export to `files`")
    return found


def _counted(folder: Path, form: str, names: list[str], written: ExportStage) -> Realised:
    tokens = dict.fromkeys(names, 0.0)
    counts: NDArray[Any]
    files = sorted(folder.glob("*.idx" if form == "megatron" else f"*.{form}"))
    if not files:
        raise InputError(
            f"`{folder}` has no documents", value=f"no {form}", bound="the files of a stage",
            remedy="export with a corpus that has tokens",
        )  # fmt: skip
    for path in files:
        if form == "megatron":
            domains = np.load(path.with_name(path.stem + ".domains.npy"), allow_pickle=False)
            parts = registry.make("formats", Plug(name="megatron")).read(path).parts
            counts = np.bincount(domains, weights=parts[0].lengths, minlength=len(names))
        elif form == "parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path, columns=["domain", "n_tokens"])
            places = np.array([names.index(one) for one in table["domain"].to_pylist()], dtype=np.int64)
            counts = np.bincount(places, weights=table["n_tokens"].to_numpy(), minlength=len(names))
        else:
            counts = np.zeros(len(names))
            with path.open(encoding="utf-8") as handle:
                for line in handle:
                    row = json.loads(line)
                    counts[names.index(row["domain"])] += row["n_tokens"]
        for name, count in zip(names, counts, strict=True):
            tokens[name] += float(count)
    return as_realised(written, {name: one for name, one in tokens.items() if one}, int(sum(tokens.values())))
