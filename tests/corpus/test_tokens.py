import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdesk.core.errors import InputError, MissingExtra
from mixdesk.corpus import tokens
from mixdesk.corpus.tokens import Encoder, bytes_encoder, read_tokenizer, train_bpe

SAMPLE = ["the cat sat on the mat. " * 20, "def f(x):\n    return x + 1\n" * 20, "naïve café 日本語 😀 " * 10]
HOSTILE = [
    "",
    " ",
    "\0\0",
    "\r\n\r\n",
    "  two  blanks  ",
    "<|endoftext|></s>",
    "e\u0301 \u00e9 \ufb01",
    "\u200b\ufeff\u2028",
    "\U0010ffff",
    "日本語" * 50,
    "👩‍👩‍👧",
    "a" * 5000,
    "Ġ▁<0x0A>",
]


@pytest.fixture(scope="module")
def bpe() -> Encoder:
    return train_bpe(SAMPLE, 400)


def tokenizer_json(path: Path, **changes) -> Path:
    data = json.loads(train_bpe(SAMPLE, 300).definition or "")
    path.write_text(json.dumps(data | changes))
    return path


def n_bytes(encoder: Encoder, text: str) -> int:
    return int(encoder.token_bytes[encoder.encode([text])[0]].sum())


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_byte_is_counted_once(bpe: Encoder, text: str) -> None:
    for encoder in (bpe, bytes_encoder()):
        assert n_bytes(encoder, text) == len(text.encode())
        assert encoder.separator not in encoder.encode([text])[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_counted_exactly(bpe: Encoder, text: str) -> None:
    for encoder in (bpe, bytes_encoder()):
        assert n_bytes(encoder, text) == len(text.encode())


def test_bytes_are_bytes() -> None:
    encoder = bytes_encoder()
    assert encoder.encode(["é"])[0].tolist() == [0xC3, 0xA9]
    assert (encoder.reference.vocab_size, encoder.separator) == (257, 256)
    assert encoder.token_bytes.tolist() == [1] * 256 + [0]


def test_trained_bpe_is_deterministic_and_compresses(bpe: Encoder) -> None:
    again = train_bpe(iter(SAMPLE), 400)
    assert again.reference == bpe.reference
    assert bpe.reference.name == "bpe"
    assert bpe.reference.vocab_size <= 400
    assert bpe.separator == bpe.reference.vocab_size - 1
    assert bpe.token_bytes[bpe.separator] == 0
    assert np.count_nonzero(bpe.token_bytes == 0) == 1
    assert len(bpe.encode([SAMPLE[0]])[0]) < len(SAMPLE[0]) / 3


def test_batches_do_not_matter(bpe: Encoder) -> None:
    together = bpe.encode(HOSTILE)
    assert all(np.array_equal(one, bpe.encode([text])[0]) for one, text in zip(together, HOSTILE, strict=True))


def test_a_separator_in_the_file_is_used_and_its_spelling_stays_text(tmp_path: Path) -> None:
    import tokenizers

    model = tokenizers.Tokenizer.from_str(train_bpe(SAMPLE, 300).definition)
    model.add_special_tokens(["<pad>", "<|endoftext|>"])
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", model.token_to_id("<|endoftext|>"))]
    )
    model.enable_truncation(4)
    model.enable_padding()
    model.save(str(tmp_path / "mine.json"))
    encoder = read_tokenizer(tmp_path / "mine.json")
    assert encoder.reference.name == "mine"
    assert encoder.separator == model.token_to_id("<|endoftext|>")
    assert encoder.reference.vocab_size == model.get_vocab_size()
    assert encoder.token_bytes[encoder.separator] == 0
    for text in HOSTILE:
        assert n_bytes(encoder, text) == len(text.encode())
    assert encoder.separator not in encoder.encode(["a<|endoftext|>b"])[0]


def test_a_tokenizer_without_separator_gets_one(tmp_path: Path) -> None:
    encoder = read_tokenizer(tokenizer_json(tmp_path / "plain.json"))
    assert encoder.separator == encoder.reference.vocab_size - 1 == 299


def test_byte_fallback_with_blanks_as_blocks_is_counted(tmp_path: Path) -> None:
    pieces = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), "\u2581", "a", "b", "é"]
    data = json.loads(train_bpe(SAMPLE, 300).definition or "")
    model = {"type": "BPE", "vocab": {p: i for i, p in enumerate(pieces)}, "merges": [], "unk_token": "<unk>"}
    data["model"] = data["model"] | model | {"byte_fallback": True}
    data["pre_tokenizer"], data["decoder"] = None, None
    data["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    path = tmp_path / "fallback.json"
    path.write_text(json.dumps(data))
    encoder = read_tokenizer(path)
    assert encoder.separator == len(pieces)
    assert n_bytes(encoder, "a b é 日") == len("a b é 日".encode())


@pytest.mark.parametrize(
    "normalizer", [{"type": "Lowercase"}, {"type": "NFKD"}, {"type": "Prepend", "prepend": "x"}, {"type": "Strip"}]
)
def test_a_tokenizer_that_changes_text_is_refused(tmp_path: Path, normalizer: dict) -> None:
    normalizer |= {"strip_left": True, "strip_right": True} if normalizer["type"] == "Strip" else {}
    path = tokenizer_json(tmp_path / "norm.json", normalizer=normalizer)
    with pytest.raises(InputError, match="changes text before it encodes it"):
        read_tokenizer(path).encode(["ＦＵＬＬ İ  width ﬁ "])


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"model": 3}', "[1]"])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match="is not a tokenizer"):
        read_tokenizer(tmp_path / "t.json")


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="vocab_size"):
        train_bpe(SAMPLE, 256)


def test_a_missing_package_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match=r"mixdesk\[corpus\]"):
        tokens.train_bpe(SAMPLE, 300)
    assert bytes_encoder().encode(["x"])[0].tolist() == [120]


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_the_quick_way_gives_the_same_ids(bpe: Encoder, text: str) -> None:
    assert bpe._quick is not None
    slow = bpe._model.encode_batch_fast([text], add_special_tokens=False)[0].ids
    assert bpe.encode([text])[0].tolist() == slow


def test_a_run_too_long_for_the_quick_way_is_encoded_all_the_same(bpe: Encoder) -> None:
    text = " " * 1_200_000 + "x"
    assert n_bytes(bpe, text) == len(text)


def test_a_tokenizer_of_another_kind_has_no_quick_way(tmp_path: Path) -> None:
    data = json.loads(train_bpe(["some words and more words"] * 3, 270).definition)
    assert tokens.load_encoder("same", json.dumps(data))._quick is not None
    data["pre_tokenizer"]["add_prefix_space"] = True
    assert tokens._quick(data, None) is None
    data["pre_tokenizer"]["add_prefix_space"] = False
    assert data["model"]["merges"], "the case needs merges"
    data["model"]["merges"] = data["model"]["merges"][::-1]  # ids no longer follow the list
    model = tokens._tokenizers().Tokenizer.from_str(json.dumps(data))
    text = "some words and more words"
    quick = tokens._quick(data, model)
    assert quick is None or quick.encode_ordinary(text) == model.encode(text).ids
