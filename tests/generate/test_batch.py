"""A batch gives the tokens of `generate`, whoever joins or leaves it: several families, with audio, drawn or greedy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, TemperatureLogitsWarper, TopPLogitsWarper, WhisperConfig

from most.errors import MostError
from most.generate import steps as steps_module
from most.generate.batch import Batch
from most.generate.draw import SeededDraw
from most.generate.request import Part, Request, Token
from most.generate.steps import ForwardSteps, LatentSteps, steps_behind
from most.model.build import build_from_backbone
from most.model.configuration import CACHE
from most.model.legal import LegalTokens
from most.model.processing import MostProcessor
from most.model.router import collect_experts
from most.sequence import IGNORE, Encoded, Wave
from most.speech.encoder import build_encoder

PAD, EOS, TEXT, UNITS, NEW = 2, 1, 40, 12, 24
COMMON = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_experts_per_tok": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
    "bos_token_id": 0, "eos_token_id": EOS, "pad_token_id": PAD,
}  # fmt: skip
LATENT = {
    "n_routed_experts": 8, "moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.7,
        "original_max_position_embeddings": 64}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT,
    "deepseek_v2, as large ones": {**LATENT, "q_lora_rank": 24, "rope_parameters": YARN},
    "deepseek_v3": {**LATENT, "n_group": 2, "topk_group": 1, "num_mtp_layers": 0},
    "mixtral": {"num_local_experts": 8},
    "mixtral, sliding": {"num_local_experts": 8, "sliding_window": 12},
    "granitemoe": {"num_local_experts": 8, "embedding_multiplier": 2.0, "logits_scaling": 3.0},
}


def most(family: str = "deepseek_v2") -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split(",")[0], **{**COMMON, **FAMILIES[family]})
    encoder = build_encoder(
        WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, num_mel_bins=80)
    )
    lm = AutoModelForCausalLM.from_config(config)
    model = build_from_backbone(lm, tokenizer_size=TEXT, n_units=UNITS, audio_encoder=encoder, audio_stack=2)
    return model.eval()


@pytest.fixture(scope="module")
def latent() -> Any:
    return most()


def requests(model: Any) -> list[Encoded]:
    """Text; a clip; units behind a clip, and inside speech at the end."""
    v, clips = model.vocab, (3200, 2000)
    generator = torch.Generator().manual_seed(0)
    sounds = [0.1 * torch.randn(n, generator=generator).numpy() for n in clips]
    waves = [[v.wave_begin, *[v.wave] * model.num_positions(n), v.wave_end] for n in clips]
    said = [v.audio_begin, v.unit_id(3), v.unit_id(5)]
    rows = [[3, 9], [4, *waves[0], 6, 7], [5, *waves[1], *said, v.audio_end, 8, *said]]
    heard = [(), (Wave(1, sounds[0]),), (Wave(1, sounds[1]),)]
    return [Encoded(np.array(r), np.full(len(r), IGNORE), h) for r, h in zip(rows, heard, strict=True)]


def processor_of(model: Any) -> Any:
    tokenizer = SimpleNamespace(pad_token_id=PAD, eos_token_id=EOS)
    processor = SimpleNamespace(tokenizer=tokenizer, vocab=model.vocab)
    processor.collate = lambda rows: MostProcessor.collate(processor, rows)
    return processor


def prompts(model: Any) -> Any:
    return processor_of(model).collate(requests(model))


def batch_of(model: Any, max_rows: int = 8) -> Batch:
    return Batch(model, processor_of(model), max_rows)


def part(mode: str, **settings: Any) -> Part:
    return Part(**{"mode": mode, "until": (EOS,), "max_new_tokens": NEW, **settings})


def drained(batch: Batch) -> dict[int, list[Token]]:
    out: dict[int, list[Token]] = {}
    while batch.busy:
        for token in batch.step():
            out.setdefault(token.request, []).append(token)
    return out


def decoded(model: Any, parts: list[Part], max_rows: int = 8) -> list[list[int]]:
    batch = batch_of(model, max_rows)
    numbers = [batch.add(Request(prompt=p, parts=(own,))) for p, own in zip(requests(model), parts, strict=True)]
    made = drained(batch)
    return [[t.id for t in made[n]] for n in numbers]


def generated(model: Any, mode: str, processors: Any = (), **settings: Any) -> list[list[int]]:
    """By transformers, each row up to its end."""
    batch = prompts(model)
    ends = settings.setdefault("eos_token_id", [EOS])
    ids = model.generate(
        **batch, mode=mode, logits_processor=list(processors), do_sample=False, pad_token_id=PAD, max_new_tokens=NEW,
        **settings,
    )  # fmt: skip
    rows = ids[:, batch["input_ids"].shape[1] :].tolist()
    return [row[: next((k + 1 for k, i in enumerate(row) if i in ends), None)] for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedily_it_is_generate_whoever_shares_the_batch(family: str) -> None:
    model = most(family)
    for mode in ("text", "speech", "any"):
        expected = generated(model, mode)
        for max_rows in (3, 2, 1):
            assert decoded(model, [part(mode)] * 3, max_rows) == expected, (mode, max_rows)


@pytest.mark.parametrize("family", ["deepseek_v2", "mixtral", "mixtral, sliding"])
def test_who_comes_late_or_leaves_early_changes_nothing_for_the_others(family: str) -> None:
    model = most(family)
    expected = generated(model, "any")
    batch, (first, second, third) = batch_of(model), requests(model)
    asked = lambda prompt: Request(prompt=prompt, parts=(part("any"),))  # noqa: E731
    made: dict[int, list[int]] = {}

    def go_on(n: int) -> None:
        for _ in range(n):
            for token in batch.step():
                made.setdefault(token.request, []).append(token.id)

    a = batch.add(asked(first))  # short, so that a longer one joins a shorter
    go_on(5)
    b, doomed = batch.add(asked(third)), batch.add(asked(second))
    go_on(4)
    batch.cancel(doomed)
    c = batch.add(asked(second))
    go_on(2 * NEW)
    assert [made[a], made[c], made[b]] == expected
    assert made[doomed] == expected[1][:4]
    assert (batch.n_waiting, batch.n_running) == (0, 0)


def test_drawn_it_is_generate(latent: Any) -> None:
    warpers, seeds = [TemperatureLogitsWarper(1.3), TopPLogitsWarper(0.9)], [7, (0, 1), 9]
    length = prompts(latent)["input_ids"].shape[1]
    rule = LegalTokens(latent.vocab, "speech", eos_token_id=EOS, prompt_length=length)
    draw = SeededDraw(seeds, prompt_length=length, max_new_tokens=NEW)
    parts = [part("speech", temperature=1.3, top_p=0.9, seed=seed) for seed in seeds]
    assert decoded(latent, parts) == generated(latent, "speech", [rule, *warpers, draw])
    assert decoded(latent, parts) != decoded(latent, [part("speech")] * 3)
    mixed = decoded(latent, [parts[0], part("text"), parts[2]])
    assert mixed == [decoded(latent, parts)[0], generated(latent, "text")[1], decoded(latent, parts)[2]]


def test_rows_end_each_in_its_own_time(latent: Any) -> None:
    """Common tokens are taken as ends, so that rows end at different steps, all before the limit."""
    free = decoded(latent, [part("text", until=(TEXT - 1,))] * 3)
    ends = [row[k] for row, k in zip(free, (3, 6, 9), strict=True)]
    ours = decoded(latent, [part("text", until=tuple(ends))] * 3)
    assert ours == generated(latent, "text", eos_token_id=ends)
    assert len({len(row) for row in ours}) > 1
    assert max(map(len, ours)) < NEW


@pytest.mark.parametrize("ended", ["stop", "length"])
def test_a_part_follows_the_one_before_as_if_that_were_the_prompt(latent: Any, ended: str) -> None:
    v, asked = latent.vocab, requests(latent)[1]
    free = decoded(latent, [part("text", until=(TEXT - 1,))] * 3)[1]
    cut = 5 if ended == "length" else free.index(free[5])
    written = part(
        "text", until=() if ended == "length" else (free[cut],), max_new_tokens=5 if ended == "length" else NEW
    )
    said = part("speech", begin=v.audio_begin, until=(v.audio_end,), temperature=1.0, seed=3)
    batch = batch_of(latent)
    tokens = drained(batch) if batch.add(Request(prompt=asked, parts=(written, said))) else {}
    first, second = ([t for t in tokens[1] if t.part == k] for k in (0, 1))
    assert [t.id for t in first] == free[: cut + (ended == "stop")]
    assert [t.ended for t in first] == [""] * (len(first) - 1) + [ended]
    ids = np.array([*asked.ids, *free[:cut], v.audio_begin])
    alone = batch_of(latent)
    alone.add(Request(prompt=Encoded(ids, np.full_like(ids, IGNORE), asked.waves), parts=(said,)))
    assert [t.id for t in second] == [t.id for t in drained(alone)[1]]
    assert [t.last for t in tokens[1]] == [False] * (len(tokens[1]) - 1) + [True]
    assert all(v.is_unit(t.id) for t in second[:-1])


@pytest.mark.parametrize("family", ["deepseek_v2", "mixtral"])
@pytest.mark.parametrize("widths", [(1,) * 12, (4, 1, 5, 2)])
@pytest.mark.parametrize("room", [1, 7, 256])
def test_steps_give_the_scores_of_a_forward_without_a_cache(
    family: str, widths: tuple[int, ...], room: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(steps_module, "ROOM", room)
    latent = most(family)
    batch = prompts(latent)
    tokens = torch.randint(TEXT + UNITS, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        steps = steps_behind(latent, batch)
        ours = torch.stack([steps(several) for several in tokens.split(widths, dim=1)], dim=1)
        whole = {
            **batch,
            "input_ids": torch.cat([batch["input_ids"], tokens], dim=1),
            "attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 12), value=1),
        }
        theirs = latent(**whole).logits[:, -12:][:, np.cumsum(widths) - 1]
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_latents_are_used_only_where_the_code_knows_them() -> None:
    model = most()
    batch = prompts(model)
    with torch.inference_mode():
        kept = model(**batch, use_cache=True).get(CACHE).layers[0].keys.shape[1] == 1
        assert type(steps_behind(model, batch)) is (LatentSteps if kept else ForwardSteps)  # not before 5.24
        attention = model.get_decoder().layers[1].self_attn

        class Wrapped(torch.nn.Linear):
            pass

        attention.kv_b_proj.__class__ = Wrapped
        assert type(steps_behind(model, batch)) is ForwardSteps
        other = most("mixtral")
        assert type(steps_behind(other, prompts(other))) is ForwardSteps


def test_a_cancelled_request_is_computed_no_further(latent: Any) -> None:
    calls: list[int] = []
    handle = latent.get_output_embeddings().register_forward_pre_hook(lambda _, x: calls.append(len(x[0])))
    batch = batch_of(latent)
    one, two, three = (batch.add(Request(prompt=p, parts=(part("any", until=()),))) for p in requests(latent))
    for k in range(1, 4):
        assert [t.request for t in batch.step()] == [one, two, three]
        assert len(calls) == k, "a token is handed out before the next is computed"
        assert not torch.is_inference_mode_enabled()
    batch.cancel(two)
    assert [t.request for t in batch.step()] == [one, three]
    batch.cancel(one)
    batch.cancel(three)
    batch.cancel(three)
    assert batch.step() == []
    handle.remove()
    assert calls == [3, 3, 3, 2]


def test_tokens_say_which_experts_they_went_to(latent: Any) -> None:
    """As the router picks them in a forward over prompt and answer at once."""
    batch, prompted = batch_of(latent), requests(latent)
    asked = prompted[1]
    numbers = [batch.add(Request(prompt=p, parts=(part("any"),), routing=p is asked)) for p in prompted]
    made = drained(batch)
    assert all(t.before is None for n in (numbers[0], numbers[2]) for t in made[n])
    tokens = made[numbers[1]]
    assert tokens[0].before is None
    assert [t.before[0] for t in tokens[1:]] == [t.id for t in tokens[:-1]]
    whole = processor_of(latent).collate(
        [Encoded(np.array([*asked.ids, *(t.id for t in tokens)]), asked.labels, asked.waves)]
    )
    with torch.inference_mode(), collect_experts() as experts:
        latent(**whole)
    n = len(asked.ids)
    for k, token in enumerate(tokens[1:]):
        assert [sorted(e) for e in token.before[1]] == [sorted(layer[n + k].tolist()) for layer in experts]


def test_limits_that_allow_nothing_are_refused(latent: Any) -> None:
    with pytest.raises(MostError, match="max_new_tokens"):
        part("text", max_new_tokens=0)
    with pytest.raises(MostError, match="batch_size"):
        batch_of(latent, 0)
