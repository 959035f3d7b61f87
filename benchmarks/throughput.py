"""How fast the engine trains: tokens per second and share of the machine's matrix-multiply peak, beside two others.

    python benchmarks/throughput.py [--quick]

At 0.1, 1 and 10 M parameters, in fp32 on one thread, three ways take turns inside one process:

    mixdesk   engine/model.py and engine/optim.py, as a trial runs them
    nano      a plain eager loop in the manner of nanoGPT: LayerNorm, GELU, AdamW, clipping
    HF        Hugging Face Trainer on a Llama of equal size (SwiGLU 8/3 wide), its steady state

Peak: the rate of a 1024 x 1024 x 1024 fp32 product, measured in every round. FLOPs of a token are those of `ModelSpec`
for all three. Figures are medians over rounds; ratios are medians of ratios within a round. Gate on ratios, never on
seconds. `--quick` prints only; the full run writes `benchmarks/results/throughput_<machine class>_<yyyymm>.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from mixdesk.core.scale import Hyper, ModelSpec
from mixdesk.engine.model import Transformer
from mixdesk.engine.optim import optimizers

SEED = 0
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Size:
    """`n_batch` sequences a step; `n_steps` timed in each round."""

    label: str
    n_batch: int
    n_steps: int
    spec: ModelSpec


SIZES = (
    Size("0.1 M", 8, 40, ModelSpec(n_layers=2, d_model=64, n_heads=2, vocab_size=2048, seq_len=128)),
    Size("1 M", 8, 10, ModelSpec(n_layers=5, d_model=128, n_heads=4, vocab_size=4096, seq_len=256)),
    Size("10 M", 8, 4, ModelSpec(n_layers=6, d_model=384, n_heads=6, vocab_size=4096, seq_len=256)),
)


class NanoBlock(nn.Module):
    """A nanoGPT-style block."""

    def __init__(self, d: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        """The residual stream after this block."""
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.n_heads, -1).transpose(1, 2) for z in self.qkv(self.norm_1(x)).split(d, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Nano(nn.Module):
    """A nanoGPT-style model with tied embeddings and learned positions."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.tokens = nn.Embedding(spec.vocab_size, spec.d_model)
        self.places = nn.Embedding(spec.seq_len, spec.d_model)
        self.blocks = nn.Sequential(*(NanoBlock(spec.d_model, spec.n_heads) for _ in range(spec.n_layers)))
        self.norm = nn.LayerNorm(spec.d_model)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy in nats."""
        h = self.blocks(self.tokens(x) + self.places.weight[: x.shape[1]])
        return F.cross_entropy(F.linear(self.norm(h), self.tokens.weight).flatten(0, 1), y.flatten())


class Ours:
    """The engine's step, kept between rounds."""

    def __init__(self, size: Size) -> None:
        self.model = Transformer(size.spec, SEED)
        self.opts = optimizers(self.model, Hyper())

    def step(self, tokens: Tensor) -> None:
        """One optimizer step on a batch."""
        loss = self.model.loss(tokens)
        loss.item()
        loss.backward()
        for opt in self.opts:
            opt.step()
            opt.zero_grad()


class NanoLoop:
    """The plain loop's step, kept between rounds."""

    def __init__(self, size: Size) -> None:
        self.model = Nano(size.spec)
        self.opt = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, tokens: Tensor) -> None:
        """One optimizer step on a batch."""
        loss = self.model.loss(tokens[:, :-1], tokens[:, 1:])
        loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.opt.step()
        self.opt.zero_grad()


class Clock(TrainerCallback):
    """Time after each step of a Trainer."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Called by the Trainer after each optimizer step."""
        self.ticks.append(time.perf_counter())


def hf_seconds(size: Size, tokens: Tensor, n_steps: int) -> tuple[float, float]:
    """Median seconds of a steady step, and seconds of the call that are not steps."""
    spec, start = size.spec, time.perf_counter()
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=spec.vocab_size,
        hidden_size=spec.d_model,
        intermediate_size=8 * spec.d_model // 3,
        num_hidden_layers=spec.n_layers,
        num_attention_heads=spec.n_heads,
        max_position_embeddings=spec.seq_len,
        tie_word_embeddings=True,
        use_cache=False,
    )
    rows = [{"input_ids": row, "labels": row} for row in tokens[:, :-1].repeat(n_steps + 3, 1)]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=size.n_batch,
            max_steps=n_steps + 3,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=SEED,
        )
        Trainer(LlamaForCausalLM(config), arguments, train_dataset=rows, callbacks=[clock]).train()
    total = time.perf_counter() - start
    steady = statistics.median(b - a for a, b in zip(clock.ticks[2:], clock.ticks[3:], strict=False))
    return steady, total - steady * (n_steps + 3)


def gemm_flops(n: int = 1024, repeats: int = 8) -> float:
    """Rate of an n^3 product in FLOP per second, the median of some."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        taken.append(time.perf_counter() - start)
    return 2 * n**3 / statistics.median(taken)


def loop_seconds(loop: Ours | NanoLoop, tokens: Tensor, n_steps: int) -> float:
    """Median seconds of a step."""
    taken = []
    for _ in range(n_steps):
        start = time.perf_counter()
        loop.step(tokens)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measure(size: Size, n_rounds: int, n_steps: int) -> dict[str, float]:
    """One row of the table: tokens/s and share of peak of each way, and the ratios."""
    torch.manual_seed(SEED)
    tokens = torch.randint(0, size.spec.vocab_size, (size.n_batch, size.spec.seq_len + 1))
    loops = {"mixdesk": Ours(size), "nano": NanoLoop(size)}
    for loop in loops.values():
        loop_seconds(loop, tokens, 2)
    n_tokens = size.n_batch * size.spec.seq_len
    rounds: list[dict[str, float]] = []
    for _ in range(n_rounds):
        rate = {name: n_tokens / loop_seconds(loop, tokens, n_steps) for name, loop in loops.items()}
        steady, rest = hf_seconds(size, tokens, n_steps)
        rate["HF"] = n_tokens / steady
        peak = gemm_flops()
        row = {f"{name} tok/s": value for name, value in rate.items()}
        row |= {f"{name} of peak": value * size.spec.flops_per_token / peak for name, value in rate.items()}
        row |= {f"mixdesk / {name}": rate["mixdesk"] / rate[name] for name in ("nano", "HF")}
        rounds.append({**row, "HF s per call": rest, "peak GFLOP/s": peak / 1e9})
    return {key: statistics.median(row[key] for row in rounds) for key in rounds[0]}


def report(rows: dict[str, dict[str, float]], flags: list[str], command: str) -> str:
    """The table and how it was made, as Markdown."""
    keys = list(next(iter(rows.values())))
    lines = [
        "# Throughput of the engine",
        "",
        f"Command: `{command}`. {time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, "
        f"flags {' '.join(flags) or 'none of those looked for'}; one thread, fp32, eager, seed {SEED}, random tokens.",
        "Versions: "
        + ", ".join(f"{name} {version(name)}" for name in ("mixdesk", "torch", "transformers", "accelerate"))
        + f", Python {platform.python_version()}.",
        "`HF s per call`: construction and whatever else a `train()` call takes besides its steps.",
        "",
        "| | " + " | ".join(rows) + " |",
        "| --- |" + " ---: |" * len(rows),
    ]
    for key in keys:
        digits = 0 if key.endswith(("tok/s", "GFLOP/s")) else 2
        lines.append(f"| {key} | " + " | ".join(f"{row[key]:,.{digits}f}" for row in rows.values()) + " |")
    return "\n".join(lines) + "\n"


def cpu_flags() -> list[str]:
    """Those of `FLAGS` that this machine has, where Linux says so."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [flag for flag in FLAGS if flag in words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps, nothing written")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for size in SIZES:
        n_rounds, n_steps = (1, 3) if options.quick else (options.rounds, size.n_steps)
        rows[size.label] = measure(size, n_rounds, n_steps)
        print(size.label, {key: round(value, 3) for key, value in rows[size.label].items()}, flush=True)
    flags = cpu_flags()
    text = report(rows, flags, "python benchmarks/throughput.py " + " ".join(sys.argv[1:]))
    print(text)
    if not options.quick:
        machine = f"{platform.machine()}-{flags[-1] if flags else 'plain'}-{os.cpu_count()}cores"
        path = Path(__file__).parent / "results" / f"throughput_{machine}_{time.strftime('%Y%m')}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"written to {path}")


if __name__ == "__main__":
    main()
