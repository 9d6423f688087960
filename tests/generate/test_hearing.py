"""CTC against sums over all paths and torch's loss; searches against all transcripts there are, and `generate`."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, WhisperConfig

from most.errors import MostError
from most.generate.batch import Batch
from most.generate.hearing import CtcPrefixes, Hearing, Search
from most.generate.request import Part, Request, Token
from most.model.build import build_from_backbone
from most.model.processing import MostProcessor
from most.sequence import IGNORE, Encoded, Wave
from most.speech.encoder import build_encoder

EOS, PAD, TEXT, NEW = 1, 2, 24, 8


def scores_of(t: int, v: int, seed: int = 0) -> np.ndarray:
    logits = torch.randn(t, v + 1, generator=torch.Generator().manual_seed(seed)) * 2
    return logits.log_softmax(dim=-1).numpy()


def spelled(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def test_prefixes_are_sums_over_paths() -> None:
    t, v = 5, 3
    scores = scores_of(t, v)
    ctc = CtcPrefixes(scores)
    paths: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(v + 1), repeat=t):
        p = float(np.exp(sum(scores[k, c] for k, c in enumerate(path))))
        paths[spelled(path, v)] = paths.get(spelled(path, v), 0.0) + p
    for wanted in [(), (0,), (0, 0), (0, 1), (2, 1, 2), (1, 1, 0)]:
        prefix = ctc.empty()
        for token in wanted:
            prefix = ctc.extended(prefix, token)
        assert np.exp(ctc.whole(prefix)) == pytest.approx(paths.get(wanted, 0.0), rel=1e-6)
        for token, got in enumerate(ctc.next(prefix)):
            longer = (*wanted, token)
            all_of_them = sum(p for words, p in paths.items() if words[: len(longer)] == longer)
            assert np.exp(got) == pytest.approx(all_of_them, rel=1e-6)


def test_the_whole_is_what_torch_says() -> None:
    scores, words = scores_of(40, 20, seed=3), [4, 4, 9, 0, 19]
    ctc = CtcPrefixes(scores)
    prefix = ctc.empty()
    for token in words:
        prefix = ctc.extended(prefix, token)
    theirs = torch.nn.functional.ctc_loss(
        torch.tensor(scores)[:, None].double(), torch.tensor([words]), [40], [5], blank=20, reduction="sum"
    )
    assert ctc.whole(prefix) == pytest.approx(-float(theirs), abs=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_search_finds_the_best_of_all_transcripts(weight: float, seed: int) -> None:
    """Every transcript of up to three of four tokens, each scored from its definition."""
    v, eos, longest = 4, 3, 3
    scores = scores_of(6, v, seed=seed + 10)
    rng = np.random.default_rng(seed)
    table = {
        words: np.log(rng.dirichlet(np.ones(v)))
        for n in range(longest + 1)
        for words in itertools.product([c for c in range(v) if c != eos], repeat=n)
    }

    def score(words: tuple[int, ...]) -> float:
        likelihood = sum(table[words[:k]][c] for k, c in enumerate((*words, eos)))
        theirs = torch.nn.functional.ctc_loss(
            torch.tensor(scores)[:, None].double(), torch.tensor([words or (0,)]), [6], [len(words)], blank=v,
            reduction="sum",
        )  # fmt: skip
        return (1 - weight) * likelihood - weight * float(theirs)

    best = max((words for words in table if len(words) < longest + 1), key=score)
    search = Search(Hearing(beams=60, ctc_weight=weight), CtcPrefixes(scores), eos, longest + 2)
    rows: list[tuple[int, ...]] = [()]
    given: list[int] = []
    while not search.over:
        flat = np.full(v, np.log(1 / v))
        parents, tokens = search.advance(np.stack([table.get(r, flat) for r in rows]))
        rows = [(*rows[p], c) for p, c in zip(parents, tokens, strict=True)]
        given += search.given()
    if len(best) < longest:  # longer ones are not in the table
        assert tuple(given) == (*best, eos)
    assert tuple(given) == search.best


def most() -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "deepseek_v2", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, num_experts_per_tok=2, max_position_embeddings=256, initializer_range=0.3,
        bos_token_id=0, eos_token_id=EOS, pad_token_id=PAD, n_routed_experts=8, moe_intermediate_size=16,
        n_shared_experts=1, first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=None, qk_nope_head_dim=8,
        qk_rope_head_dim=4, v_head_dim=12,
    )  # fmt: skip
    encoder = build_encoder(
        WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80)
    )
    lm = AutoModelForCausalLM.from_config(config)
    return build_from_backbone(lm, tokenizer_size=TEXT, n_units=12, audio_encoder=encoder, audio_stack=2).eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return most()


def prompts(model: Any) -> list[Encoded]:
    """Clips of three lengths, one behind another clip."""
    v, lengths = model.vocab, (3200, 6400, 2000)
    generator = torch.Generator().manual_seed(0)
    sounds = [0.1 * torch.randn(n, generator=generator).numpy() for n in lengths]
    waves = [[v.wave_begin, *[v.wave] * model.num_positions(n), v.wave_end] for n in lengths]
    rows = [[3, *waves[0], 6], [4, *waves[1], 6, 7], [5, *waves[0], 9, *waves[2], 8]]
    heard = [(0,), (1,), (0, 2)]
    return [
        Encoded(np.array(r), np.full(len(r), IGNORE), tuple(Wave(1, sounds[k]) for k in own))
        for r, own in zip(rows, heard, strict=True)
    ]


def batch_of(model: Any, max_rows: int = 8) -> Batch:
    processor = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=PAD, eos_token_id=EOS), vocab=model.vocab)
    processor.collate = lambda rows: MostProcessor.collate(processor, rows)
    return Batch(model, processor, max_rows)


def request(prompt: Encoded, hearing: Hearing | None) -> Request:
    return Request(prompt=prompt, parts=(Part(mode="text", until=(EOS,), max_new_tokens=NEW, hearing=hearing),))


def made(batch: Batch) -> dict[int, list[Token]]:
    out: dict[int, list[Token]] = {}
    while batch.busy:
        for token in batch.step():
            out.setdefault(token.request, []).append(token)
    return out


def alone(model: Any, prompt: Encoded, hearing: Hearing | None) -> list[Token]:
    batch = batch_of(model)
    number = batch.add(request(prompt, hearing))
    return made(batch)[number]


def test_one_hypothesis_without_ctc_is_the_likeliest_token_each_time(model: Any) -> None:
    for prompt in prompts(model):
        plain, searched = (alone(model, prompt, h) for h in (None, Hearing(beams=1, ctc_weight=0.0)))
        assert [(t.id, t.ended, t.last) for t in searched] == [(t.id, t.ended, t.last) for t in plain]


def test_without_ctc_it_is_the_beam_search_of_transformers(model: Any) -> None:
    """`generate` with as many beams, where scores are sums, too."""
    for prompt in prompts(model):
        ids = model.generate(
            **batch_of(model).processor.collate([prompt]), mode="text", num_beams=4, length_penalty=0.0,
            renormalize_logits=True, do_sample=False, max_new_tokens=NEW, eos_token_id=EOS, pad_token_id=PAD,
        )[0, len(prompt.ids) :].tolist()  # fmt: skip
        assert [t.id for t in alone(model, prompt, Hearing(beams=4, ctc_weight=0.0))] == ids


def test_who_shares_the_batch_comes_late_or_leaves_changes_nothing(model: Any) -> None:
    asked, hearing = prompts(model), Hearing(beams=3, ctc_weight=0.4)
    hearings = [hearing, None, replace(hearing, beams=2)]
    expected = [[t.id for t in alone(model, p, h)] for p, h in zip(asked, hearings, strict=True)]
    assert expected[0] != [t.id for t in alone(model, asked[0], None)]
    for max_rows in (3, 2, 1):
        batch = batch_of(model, max_rows)
        numbers = [batch.add(request(p, h)) for p, h in zip(asked, hearings, strict=True)]
        out = made(batch)
        assert [[t.id for t in out[n]] for n in numbers] == expected
    batch = batch_of(model)
    first, got = batch.add(request(asked[0], hearings[0])), dict[int, list[int]]()
    for step in range(3 * NEW):
        if step == 2:
            second, doomed = (batch.add(request(asked[k], hearings[k])) for k in (1, 2))
        if step == 4:
            assert batch.n_running <= 3
            batch.cancel(doomed)
            third = batch.add(request(asked[2], hearings[2]))
        for token in batch.step():
            got.setdefault(token.request, []).append(token.id)
    assert [got[n] for n in (first, second, third)] == expected
    assert not batch.busy


def test_a_search_ends_once_and_with_its_last_token(model: Any) -> None:
    for prompt in prompts(model):
        tokens = alone(model, prompt, Hearing())
        assert [t.last for t in tokens] == [False] * (len(tokens) - 1) + [True]
        assert tokens[-1].ended == ("stop" if tokens[-1].id == EOS else "length")
        assert all(t.id < TEXT for t in tokens)


def test_what_cannot_be_is_refused(model: Any) -> None:
    with pytest.raises(MostError, match=r"beams: 0"):
        Hearing(beams=0)
    with pytest.raises(MostError, match=r"ctc_weight: 1"):
        Hearing(ctc_weight=1.0)
    with pytest.raises(MostError, match="draws nothing"):
        Part(mode="speech", until=(), max_new_tokens=3, hearing=Hearing())
    text = Part(mode="text", until=(EOS,), max_new_tokens=3, hearing=Hearing())
    with pytest.raises(MostError, match="one part"):
        Request(prompt=prompts(model)[0], parts=(text, text))
    batch = batch_of(model)
    batch.add(Request(prompt=Encoded(np.array([3, 4]), np.array([IGNORE, IGNORE]), ()), parts=(text,)))
    with pytest.raises(MostError, match="needs a clip"):
        batch.step()
