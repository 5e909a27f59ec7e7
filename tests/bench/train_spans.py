"""Trains the span model (``rag.models.span_model``), in three steps:

    python -m tests.bench.train_spans collect FOLDER  # here: questions, passages and texts, of the tuned halves alone
    python train_spans.py train FOLDER                # where torch and a GPU are; this file and FOLDER are enough
    python train_spans.py export FOLDER               # there: FOLDER/model.onnx, int8

It begins with the encoder's weights, read from its ONNX file; the word and position embeddings stay. A softmax over the
tokens of a question's first three passages and "none of them": an answer's tokens share what is right where they are
known; all tokens do where only that it is answered is known; none does where it is not. Before the questions it is
trained on gaps in the tuned texts, asked for as questions with words left out and moved ("Unsupervised Question
Answering by Cloze Translation", 2019), of which two in five are asked of passages that have lost the sentence. Torch,
onnx and onnxruntime's quantiser are not among the pinned packages. Three minutes on one H200.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GAPS, GAP_ROUNDS, ROUNDS, BATCH, GAP_BATCH, RATE, LONGEST = 14_000, 2, 4, 16, 32, 1e-4, 288
"""Without the gaps AUC on the held-out half of CLAPNQ is 0.857 instead of 0.897, and of XQuAD's likeliest tokens 0.51
are right instead of 0.57."""
# How much a question of each set weighs; 1 where nothing is said. Real search questions and the samples are few.
_WEIGHS = {
    "clapnq": 2, "own": 2, "clapnq-none": 2, "own-none": 2, "briefs": 2, "originals": 2, "briefs-none": 2,
    "originals-none": 2, "reports": 0.5, "reports-none": 0.5, "alone-none": 0.5, "article": 0.5, "swap": 0.5,
    "made": 0.5, "paragraph": 0.7, "page-swap": 0.7,
}  # fmt: skip
_KNOWN = ("xquad", "alone", "page")
"""Sets whose answer's place is known: a question of theirs whose passages lack it is left out."""
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'’-]+(?: (?:of |the |and )?[A-Z][\w'’-]+)*")
_NUMBER = re.compile(r"\$?\b\d[\d,.]*\d\b|\b\d\b")
_YEAR = re.compile(r"(1\d{3}|20\d{2})")
_PHRASE = re.compile(r"\b(?:the|a|an|of|for|by|in|to|with) ((?:[a-z-]+ ){1,4}[a-z-]+)\b")
_SMALL = frozenset(
    "the a an of in on at to for by with and or is was are were be been has have had that this it its as from which "
    "who".split()
)
_CLS, _SEP, _SPECIAL = 101, 102, 3


@dataclass(frozen=True, slots=True)
class Example:
    """A question, its passages, which spans of each are of the answer, whether it is answered, and what it weighs."""

    question: str
    texts: Sequence[str]
    spans: Sequence[Sequence[Sequence[int]]]
    answered: bool
    weight: float = 1.0


def collect(folder: Path) -> None:
    """Write ``questions.jsonl``, ``texts.jsonl``, and the encoder's two files into ``folder``."""
    import shutil

    from rag.answer.reading import READ
    from rag.models.static import static_vectors
    from rag.models.transformer import shipped
    from tests.bench import answer_data as data
    from tests.bench.fit_answer import asked_sets
    from tests.bench.remembering import Remembering

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        for name, asked in asked_sets(static_vectors(), Remembering()).items():
            for one in asked:
                if one.half != data.TUNE or not one.hits:
                    continue
                passages = [hit.passage for hit in one.hits[:READ]]
                heads = [len(p.index_text) - len(p.text) - p.start for p in passages]
                spans = [
                    [[a + head, b + head] for source, a, b in one.spans if source == p.source and b + head > 0]
                    for p, head in zip(passages, heads, strict=True)
                ]
                row = Example(one.text, [p.index_text for p in passages], spans, one.answerable, _WEIGHS.get(name, 1.0))
                if name not in _KNOWN or not one.answerable or _inside(row):
                    file.write(json.dumps(_plain(row)) + "\n")
    articles, searched = data.clapnq()
    tuned = {name for q in searched if q.half == data.TUNE for name in q.sources}
    documents, _ = data.xquad()
    texts = {
        "xquad": [t for name, t in documents.items() if data.half(name) == data.TUNE],
        "clapnq": [t for name, t in articles.items() if name in tuned],
        "reports": [t for name, t in data.reports().items() if data.half(name) == data.TUNE],
        "qags": sorted({one.article for one in data.qags() if one.half == data.TUNE}),
    }
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for kind, own in texts.items():
            file.writelines(json.dumps({"kind": kind, "text": text}) + "\n" for text in own)
    for path in ("model.onnx", "tokenizer.json"):
        shutil.copyfile(shipped("encoder") / path, folder / f"encoder-{path}")


def _plain(row: Example) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Example.__slots__}


def _inside(row: Example) -> bool:
    return any(start < len(text) for text, own in zip(row.texts, row.spans, strict=True) for start, _ in own)


def gaps(texts: Iterable[dict[str, str]], count: int, r: random.Random) -> Iterator[Example]:
    """At most ``count`` questions for gaps in the texts' sentences; of each text asked up to twenty times a passage."""
    pieces = []
    for number, one in enumerate(texts):
        own = _pieces(one["text"])
        if one["kind"] == "reports":
            r.shuffle(own)
            own = own[:25]
        pieces.append((number, own))
    every = [(own, piece) for _, own in pieces for piece in own]
    r.shuffle(every)
    made = 0
    for own, piece in every * 20:
        if made == count:
            return
        found = _gap(piece, own, pieces[r.randrange(len(pieces))][1], r)
        if found is not None:
            made += 1
            yield found


def _gap(piece: str, own: Sequence[str], far: Sequence[str], r: random.Random) -> Example | None:
    sentences = [s for s in _sentences(piece) if 40 < len(s) < 300]
    if not sentences:
        return None
    sentence = r.choice(sentences)
    answers = [(m.group(), "name") for m in _NAME.finditer(sentence)]
    answers += [(m.group(), "number") for m in _NUMBER.finditer(sentence)]
    answers += [(phrase, "thing") for phrase in _PHRASE.findall(sentence)[:3]]
    if not answers:
        return None
    answer, kind = r.choice(answers)
    at = sentence.find(answer)
    question = _asked(sentence[:at], answer, kind, sentence[at + len(answer) :], r)
    others = [text for text in own if text is not piece and answer not in text]
    beside = []
    for _ in range(2):
        source = others if others and r.random() < 0.7 else far
        beside.append(r.choice(source) if source else "None.")
    answered = r.random() >= 0.4
    first = piece if answered else piece.replace(sentence, "").strip()
    if len(question.split()) < 4 or len(first) < 100:
        return None
    place = piece.find(sentence) + at
    spans: list[list[list[int]]] = [[[place, place + len(answer)]] if answered else [], [], []]
    texts = [first, *beside]
    order = list(range(3))
    r.shuffle(order)
    return Example(question, [texts[o] for o in order], [spans[o] for o in order], answered)


def _asked(before: str, answer: str, kind: str, after: str, r: random.Random) -> str:
    """The clause around the gap as a question: words left out, put in another order."""
    if kind == "number":
        asks = ["when", "in what year", "what year"] if _YEAR.fullmatch(answer) else ["how many", "how much", "what"]
    elif kind == "name":
        asks = ["who", "what", "which", "where", "which one"]
    else:
        asks = ["what", "what", "which", "how", "why"]
    ask = r.choice(asks)
    before = re.split(r"[;:(]|, (?:and|but|which|who|while)", before)[-1]
    after = re.split(r"[;:)]|, (?:and|but|which|who|while)", after)[0]
    first, last = (
        [word for word in words if r.random() > (0.45 if word.lower() in _SMALL else 0.2)]
        for words in (before.split()[-12:], after.strip(" .").split()[:12])
    )
    order = r.random()
    if order < 0.4:
        words = [ask, *last, *first]
    elif order < 0.6:
        words = [ask, *first, *last]
    elif order < 0.8:
        rest = first + last
        r.shuffle(rest)
        words = [ask, *rest]
    else:
        words = [*first, ask, *last]
    question = " ".join(words)
    question = question.lower() if r.random() < 0.4 else question[:1].upper() + question[1:]
    return question + "?" if r.random() < 0.7 else question


def _sentences(text: str) -> list[str]:
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+(?=[A-Z\"“])", text) if s.strip()]


def _pieces(text: str, size: int = 900) -> list[str]:
    found, piece = [], ""
    for paragraph in re.split(r"\n+", text):
        for sentence in _sentences(paragraph):
            if piece and len(piece) + len(sentence) > size:
                found.append(piece)
                piece = ""
            piece = f"{piece} {sentence}".strip()
    return [one for one in (*found, piece) if len(one) > 150]


def read_weights(path: Path) -> dict[str, Any]:
    """The encoder's weights by their usual names, from its int8 ONNX file."""
    import numpy as np
    import onnx
    import torch
    from onnx import numpy_helper

    model = onnx.load(str(path))
    tensors = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    found = {k: v for k, v in tensors.items() if k.startswith(("embeddings.LayerNorm", "encoder"))}
    for kind in ("word", "token_type", "position"):
        name = f"embeddings.{kind}_embeddings.weight"
        zero, scale = tensors[f"{name}_zero_point"], tensors[f"{name}_scale"]
        found[name] = (tensors[f"{name}_quantized"].astype(np.float32) - float(zero)) * float(scale)
    products = [
        node.input[1].removesuffix("_quantized") for node in model.graph.node if node.op_type == "MatMulInteger"
    ]
    names = [
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
        "intermediate.dense", "output.dense",
    ]  # fmt: skip
    for place, base in enumerate(products):
        whole, scale, zero = (tensors[f"{base}_{part}"] for part in ("quantized", "scale", "zero_point"))
        weight = (whole.astype(np.float32) - zero.astype(np.float32)) * scale
        found[f"encoder.layer.{place // 6}.{names[place % 6]}.weight"] = weight.T.copy()
    return {name: torch.tensor(value.astype(np.float32)) for name, value in found.items()}


def network(weights: dict[str, Any] | None, dropout: float = 0.1) -> Any:
    """MiniLM-L6 (6 layers of 12 heads, 384 wide) with a log-odds a token, as a torch module of (ids, kinds, mask)."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(384, 384) for _ in range(4))
            self.first = nn.LayerNorm(384, eps=1e-12)
            self.wide, self.narrow = nn.Linear(384, 1536), nn.Linear(1536, 384)
            self.second = nn.LayerNorm(384, eps=1e-12)

        def forward(self, x: Any, mask: Any) -> Any:
            batch, length, width = x.shape
            q, k, v = (
                part(x).view(batch, length, 12, 32).transpose(1, 2) for part in (self.query, self.key, self.value)
            )
            rate = dropout if self.training else 0.0
            seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
            seen = self.out(seen.transpose(1, 2).reshape(batch, length, width))
            x = self.first(x + functional.dropout(seen, dropout, self.training))
            own = self.narrow(functional.gelu(self.wide(x)))
            return self.second(x + functional.dropout(own, dropout, self.training))

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.word, self.place = nn.Embedding(30_522, 384), nn.Embedding(512, 384)
            self.kind, self.norm = nn.Embedding(2, 384), nn.LayerNorm(384, eps=1e-12)
            self.layers = nn.ModuleList(Layer() for _ in range(6))
            self.point = nn.Linear(384, 1)
            nn.init.normal_(self.point.weight, std=0.02)
            nn.init.zeros_(self.point.bias)
            for fixed in (self.word, self.place):
                fixed.weight.requires_grad_(False)

        def forward(self, ids: Any, kinds: Any, mask: Any) -> Any:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.training and ids.is_cuda):
                x = self.norm(self.word(ids) + self.place.weight[: ids.shape[1]][None] + self.kind(kinds))
                x = functional.dropout(x, dropout, self.training)
                for layer in self.layers:
                    x = layer(x, mask[:, None, None, :].bool())
            return self.point(x.float())[..., 0]

    made = Network()
    if weights is not None:
        made.load_state_dict({**made.state_dict(), **dict(_renamed(weights))})
    return made


def _renamed(weights: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    parts = {
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "out": "attention.output.dense", "first": "attention.output.LayerNorm", "wide": "intermediate.dense",
        "narrow": "output.dense", "second": "output.LayerNorm",
    }  # fmt: skip
    for own, kind in (("word", "word"), ("place", "position"), ("kind", "token_type")):
        yield f"{own}.weight", weights[f"embeddings.{kind}_embeddings.weight"]
    for end in ("weight", "bias"):
        yield f"norm.{end}", weights[f"embeddings.LayerNorm.{end}"]
        for layer in range(6):
            for own, usual in parts.items():
                yield f"layers.{layer}.{own}.{end}", weights[f"encoder.layer.{layer}.{usual}.{end}"]


Sequenced = list[tuple[list[int], list[int], list[bool]]]
"""For each passage of a question the tokens, their kinds (0 the question's, 1 the passage's), and, for those of the
passage, which are of the answer."""


def _sequences(tokenizer: Any, one: Example) -> Sequenced:
    question = tokenizer.encode(one.question, add_special_tokens=False).ids[:100]
    found = []
    for text, spans in zip(one.texts, one.spans, strict=True):
        read = tokenizer.encode(text, add_special_tokens=False)
        room = LONGEST - len(question) - _SPECIAL
        ids = [_CLS, *question, _SEP, *read.ids[:room], _SEP]
        kinds = [0] * (len(question) + 2) + [1] * (len(ids) - len(question) - 2)
        right = [any(start < b and end > a for a, b in spans) for start, end in read.offsets[:room]]
        found.append((ids, kinds, right))
    return found


def train(folder: Path) -> None:
    """Write ``span.pt``, the trained weights, into ``folder``."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "encoder-tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    r = random.Random(1)
    made = list(gaps(_lines(folder / "texts.jsonl"), GAPS, r))
    asked = [Example(**row) for row in _lines(folder / "questions.jsonl")]
    model = network(read_weights(folder / "encoder-model.onnx")).to(device)
    for examples, rounds, batch in ((made, GAP_ROUNDS, GAP_BATCH), (asked, ROUNDS, BATCH)):
        sequences = [(_sequences(tokenizer, one), one.answered, one.weight) for one in examples]
        _fit(model, sequences, rounds, batch, device)
    torch.save(model.state_dict(), folder / "span.pt")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _fit(model: Any, examples: Sequence[tuple[Sequenced, bool, float]], rounds: int, batch: int, device: str) -> None:
    """Adam with decayed weights, the rate rising over a tenth of the steps and falling to nothing."""
    import torch

    steps = rounds * math.ceil(len(examples) / batch)
    learned = [p for p in model.parameters() if p.requires_grad]
    head = {id(p) for p in model.point.parameters()}
    groups = [
        {"params": [p for p in learned if id(p) not in head], "lr": RATE},
        {"params": [p for p in learned if id(p) in head], "lr": 10 * RATE},
    ]
    adam = torch.optim.AdamW(groups, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1.0, (step + 1) / (0.1 * steps + 1)) * max(0.0, 1 - step / steps)
    )
    r = random.Random(0)
    model.train()
    for round_ in range(rounds):
        # Of about the same length in a batch, else at random.
        order = sorted(range(len(examples)), key=lambda k: len(examples[k][0][0][0]) // 32 + r.random() * 3)
        batches = [order[k : k + batch] for k in range(0, len(order), batch)]
        r.shuffle(batches)
        total = 0.0
        for own in batches:
            loss = _loss(model, [examples[k] for k in own], device)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            rate.step()
            total += loss.item()
        sys.stdout.write(f"round {round_ + 1} of {rounds}: loss {total / len(batches):.3f}\n")


def _loss(model: Any, examples: Sequence[tuple[Sequenced, bool, float]], device: str) -> Any:
    import torch

    sequences = [one for found, _, _ in examples for one in found]
    longest = max(len(ids) for ids, _, _ in sequences)
    ids, kinds, mask = (torch.zeros((len(sequences), longest), dtype=torch.long) for _ in range(3))
    for row, (own, kind, _) in enumerate(sequences):
        ids[row, : len(own)], kinds[row, : len(own)] = torch.tensor(own), torch.tensor(kind)
        mask[row, : len(own)] = 1
    told = model(ids.to(device), kinds.to(device), mask.to(device))
    total, weights, row = 0.0, 0.0, 0
    for found, answered, weight in examples:
        odds, right = [], []
        for _, kind, own_right in found:
            start = kind.index(1)
            odds.append(told[row, start : start + len(own_right)])
            right += own_right
            row += 1
        each = torch.cat(odds)
        every = torch.logsumexp(torch.cat([each, each.new_zeros(1)]), 0)
        among = each[torch.tensor(right, device=device)] if any(right) else each
        total = total + weight * (every - (torch.logsumexp(among, 0) if answered else 0.0))
        weights += weight
    return total / weights


def export(folder: Path) -> None:
    """Write ``model.onnx``: weights in 8 bits a channel, activations scaled as they come."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = network(None, dropout=0.0)
    model.load_state_dict(torch.load(folder / "span.pt", map_location="cpu"))
    model.eval()
    ids = torch.randint(1_000, 20_000, (1, 60))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    torch.onnx.export(
        model, (ids, torch.zeros_like(ids), torch.ones_like(ids)), str(folder / "whole.onnx"), input_names=names,
        output_names=["log_odds"], dynamic_axes={name: {0: "batch", 1: "length"} for name in (*names, "log_odds")},
        opset_version=17, dynamo=False,
    )  # fmt: skip
    quantize_dynamic(
        folder / "whole.onnx", folder / "model.onnx", per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
    )


if __name__ == "__main__":
    {"collect": collect, "train": train, "export": export}[sys.argv[1]](Path(sys.argv[2]))
