"""Tokenizers: raw bytes, a byte-level BPE trained here, or any `tokenizer.json`; and the bytes each id stands for.

Bits per byte is only as honest as its denominator. So every id knows how many UTF-8 bytes it stands for, the document
separator stands for none, and whatever is encoded is checked: Σ token_bytes[ids] = bytes of the text, or an error.
Text that spells a special token is encoded as ordinary text.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.corpus import Tokenizer
from mixdesk.core.errors import InputError, MissingExtra
from mixdesk.core.files import read_text
from mixdesk.core.machine import n_cores

# Special tokens that end a document in the tokenizers people use; the first that is there becomes the separator.
SEPARATORS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")
# Plain text that a tokenizer must give back whole. It meets added blanks and lower-casing at once, before a long build.
PROBE = "Mixdesk counts  every byte:\n\ttwo lines, 3 numbers, caf\u00e9."
# 256 bytes and the separator.
SMALLEST = 257
# Where GPT-2's byte-level BPE cuts a text into words [GPT-2, encoder.py], without backtracking.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
# A run of blanks that is too deep for the quick way's regular expressions.
_DEEP = 100_000
_BLANKS = re.compile(rf"\s{{{_DEEP}}}")
# The character that stands for each byte in a byte-level vocabulary: itself where it is visible, else one from 256 on.
_VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTE_OF = {chr(b): b for b in _VISIBLE}
_BYTE_OF.update((chr(256 + i), b) for i, b in enumerate(b for b in range(256) if b not in _VISIBLE))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoder:
    """A tokenizer ready to encode.

    Fields: `reference` its name, size and sha256; `separator` the id after each document; `token_bytes` (vocab_size,)
    UTF-8 bytes of each id, 0 for the separator; `definition` the text of its tokenizer.json, None for raw bytes.
    """

    reference: Tokenizer
    separator: int
    token_bytes: NDArray[np.int64]
    definition: str | None = None
    _model: Any = field(default=None, repr=False)
    _quick: Any = field(default=None, repr=False)

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The ids of each text, without separators.

        Raises:
            InputError: the ids of a text do not stand for exactly its bytes.
        """
        ids, lengths = self.encode_joined(texts)
        pieces = np.split(ids.astype(np.int64), np.cumsum(lengths)[:-1])
        return [one[:-1] for one in pieces] if len(texts) else []

    def encode_joined(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The ids of all texts, each followed by a separator, and how many there are of each text, its separator too.

        Raises:
            InputError: as `encode`.
        """
        raw = [text.encode() for text in texts]
        sizes = np.array([len(one) for one in raw], dtype=np.int64)
        if self._model is None:
            lengths = sizes + 1
            ids = np.full(int(lengths.sum()), self.separator, dtype=np.uint32)
            is_byte = np.ones(len(ids), dtype=bool)
            is_byte[np.cumsum(lengths) - 1] = False
            ids[is_byte] = np.frombuffer(b"".join(raw), dtype=np.uint8)
            return ids, lengths
        pieces = self._pieces(list(texts))
        lengths = np.array([len(one) + 1 for one in pieces], dtype=np.int64)
        joined = chain.from_iterable(part for one in pieces for part in (one, (self.separator,)))
        ids = np.fromiter(joined, dtype=np.uint32, count=int(lengths.sum()))
        found = np.add.reduceat(self.token_bytes[ids], np.cumsum(lengths) - lengths) if len(texts) else sizes
        wrong = np.flatnonzero(found != sizes)
        if len(wrong):
            shown = raw[wrong[0]][:60].decode(errors="replace")
            raise InputError(
                f"the tokenizer `{self.reference.name}` changes text before it encodes it",
                value=f"ids for {found[wrong[0]]} bytes of {sizes[wrong[0]]} in {shown!r}",
                bound="ids that stand for every byte once",
                remedy="use a byte-level tokenizer without normaliser, or `bpe` or `bytes`",
            )
        return ids, lengths

    def decode(self, ids: Sequence[NDArray[np.int64]]) -> list[str]:
        """The text of each array of ids, which holds no separator. Byte-level tokenizers give it back as it was."""
        if self._model is None:
            return [one.astype(np.uint8).tobytes().decode(errors="replace") for one in ids]
        texts: list[str] = self._model.decode_batch([one.tolist() for one in ids], skip_special_tokens=False)
        return texts

    def _pieces(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, by the quick way where there is one and it can."""
        if self._quick is not None and not any(len(one) > _DEEP and _BLANKS.search(one) for one in texts):
            pieces: list[list[int]] = self._quick.encode_ordinary_batch(texts, num_threads=n_cores())
            return pieces
        return [one.ids for one in self._model.encode_batch_fast(texts, add_special_tokens=False)]


def bytes_encoder() -> Encoder:
    """Every UTF-8 byte is an id; 256 is the separator."""
    sizes = np.ones(SMALLEST, dtype=np.int64)
    sizes[-1] = 0
    sha256 = hashlib.sha256(b"mixdesk bytes: 256 bytes, separator 256").hexdigest()
    return Encoder(
        reference=Tokenizer(name="bytes", vocab_size=SMALLEST, sha256=sha256), separator=SMALLEST - 1, token_bytes=sizes
    )


def train_bpe(texts: Iterable[str], vocab_size: int) -> Encoder:
    """A byte-level BPE of at most `vocab_size` ids, separator included, trained on the texts.

    Raises:
        InputError: `vocab_size` is below 257.
        MissingExtra: `tokenizers` is not installed.
    """
    checks.count("vocab_size", vocab_size, SMALLEST)
    package = _tokenizers()
    model = package.Tokenizer(package.models.BPE())
    model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = package.decoders.ByteLevel()
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocab_size - 1, initial_alphabet=sorted(alphabet), show_progress=False
    )
    model.train_from_iterator(texts, trainer)
    return load_encoder("bpe", model.to_str(pretty=False))


def read_tokenizer(path: Path) -> Encoder:
    """The tokenizer in a Hugging Face `tokenizer.json`. Without a separator of its own it gets one, as its last id.

    Raises:
        InputError: the file is unreadable, not a tokenizer, or its ids do not stand for every byte of a text.
        MissingExtra: `tokenizers` is not installed.
    """
    return load_encoder(path.stem, read_text(path), where=str(path))


def load_encoder(name: str, definition: str, where: str = "tokenizer") -> Encoder:
    """The encoder of a tokenizer.json's text; see `read_tokenizer`."""
    package = _tokenizers()
    try:
        model = package.Tokenizer.from_str(definition)
        data = json.loads(definition)
    except Exception as error:  # the package raises bare Exception
        raise InputError(
            f"`{where}` is not a tokenizer", value=str(error), bound="a Hugging Face tokenizer.json", remedy="check it"
        ) from None
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    pieces = model.get_vocab(with_added_tokens=True)
    added = model.get_added_tokens_decoder()
    special = {token.content: number for number, token in added.items() if token.special}
    sizes = np.zeros(max(pieces.values()) + 1, dtype=np.int64)
    is_byte_level = '"ByteLevel"' in json.dumps([data.get("pre_tokenizer"), data.get("decoder")])
    for piece, number in pieces.items():
        sizes[number] = len(piece.encode()) if number in added else _n_bytes(piece, is_byte_level)
    separator = next((special[one] for one in SEPARATORS if one in special), len(sizes))
    if separator == len(sizes):
        sizes = np.append(sizes, 0)
    sizes[separator] = 0
    encoder = Encoder(
        reference=Tokenizer(name=name, vocab_size=len(sizes), sha256=hashlib.sha256(definition.encode()).hexdigest()),
        separator=separator,
        token_bytes=sizes,
        definition=definition,
        _model=model,
        _quick=_quick(data, model),
    )
    encoder.encode([PROBE])
    return encoder


def _quick(data: dict[str, Any], model: Any) -> Any:
    """The same byte-level BPE in tiktoken, three to four times as fast; None where it is another kind, or differs.

    tiktoken merges the pair that makes the lowest id, `tokenizers` the pair that comes first in a list: the same where
    ids follow the list. Whether they are is tried on a text of every script before it is believed.
    """
    kind, before = data.get("model", {}), data.get("pre_tokenizer") or {}
    plain = {"type": "BPE", "dropout": None, "unk_token": None, "byte_fallback": False, "ignore_merges": False}
    parts = ("continuing_subword_prefix", "end_of_word_suffix")
    if (
        any(kind.get(key, value) != value for key, value in plain.items())
        or any(kind.get(part) for part in parts)
        or before.get("type") != "ByteLevel"
        or before.get("add_prefix_space")
        or not before.get("use_regex", True)
        or data.get("normalizer") is not None
        or any(not token.get("special") for token in data.get("added_tokens", ()))
    ):
        return None
    try:
        import tiktoken
    except ModuleNotFoundError:
        return None
    vocab, special = kind["vocab"], {token["id"] for token in data.get("added_tokens", ())}
    ranks = {bytes(_BYTE_OF[c] for c in piece): number for piece, number in vocab.items() if number not in special}
    if len(ranks) + len(special & set(vocab.values())) < len(vocab) or any(bytes([b]) not in ranks for b in range(256)):
        return None
    quick = tiktoken.Encoding(name="quick", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={})
    texts = [*_proof(), PROBE]
    slow = [one.ids for one in model.encode_batch_fast(texts, add_special_tokens=False)]
    return quick if quick.encode_ordinary_batch(texts, num_threads=1) == slow else None


@cache
def _proof() -> tuple[str, ...]:
    """Real code and prose, and the letters, digits and marks of the first plane in runs of each length up to seven."""
    plane = [chr(i) for i in range(0x20, 0x10000) if not 0xD800 <= i < 0xE000 and chr(i).isprintable()]
    runs = "".join(c + " " * (i % 7 == 0) + "\n" * (i % 31 == 0) for i, c in enumerate(plane))
    return (inspect.getsource(inspect), inspect.getsource(typing), runs)


def _n_bytes(piece: str, is_byte_level: bool) -> int:
    """Bytes behind a piece: a byte-level piece has one character a byte; else `<0x0A>` is a byte and `▁` a blank."""
    if is_byte_level:
        return len(piece)
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return 1
    return len(piece.replace("\u2581", " ").encode())


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise MissingExtra("tokenizers", "corpus") from None
    return tokenizers
