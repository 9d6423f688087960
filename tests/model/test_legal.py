"""Legal tokens: whatever the logits are, what comes out can be decoded."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from most.errors import MostError
from most.model.legal import LegalTokens
from most.vocab import SpeechVocab

V = SpeechVocab(text_size=10, n_units=4, vocab_size=24)
EOS = 1
ADVERSARIAL = st.sampled_from([0.0, 1.0, -50.0, 3e38, -3e38, float("inf"), float("-inf"), float("nan")])


def run(mode: str, prompt: list[list[int]], scores: list[torch.Tensor], *, eos: int = EOS) -> torch.Tensor:
    """Greedy decoding of made-up scores (B, V), one step each; returns what was generated (B, steps)."""
    ids = torch.tensor(prompt)
    legal = LegalTokens(V, mode, eos_token_id=eos, prompt_length=ids.shape[1])
    for s in scores:
        out = legal(ids, s)
        assert torch.isfinite(out.amax(-1)).all()
        ids = torch.cat([ids, out.argmax(-1, keepdim=True)], dim=1)
    return ids[:, len(prompt[0]) :]


@st.composite
def steps(draw: st.DrawFn) -> list[torch.Tensor]:
    rows = st.lists(ADVERSARIAL, min_size=V.vocab_size, max_size=V.vocab_size)
    return [torch.tensor([draw(rows), draw(rows)]) for _ in range(draw(st.integers(1, 8)))]


# Row 0 ends inside speech. Row 1 has a closed stretch of the user's and ends outside.
PROMPT = [[3, 4, V.audio_begin, V.unit_id(1)], [V.audio_begin, V.unit_id(0), V.audio_end, 5]]


@settings(max_examples=60, deadline=None)
@given(steps())
def test_text_mode(scores: list[torch.Tensor]) -> None:
    assert (run("text", PROMPT, scores) < V.text_size).all()


@settings(max_examples=60, deadline=None)
@given(steps())
def test_speech_mode(scores: list[torch.Tensor]) -> None:
    for row, inside in zip(run("speech", PROMPT, scores).tolist(), (True, False), strict=True):
        if not inside:
            assert row.pop(0) == V.audio_begin
        end = row.index(V.audio_end) if V.audio_end in row else len(row)
        assert all(V.is_unit(i) for i in row[:end])
        assert all(i == EOS for i in row[end + 1 :])


@settings(max_examples=60, deadline=None)
@given(steps())
def test_any_mode(scores: list[torch.Tensor]) -> None:
    for row, inside in zip(run("any", PROMPT, scores).tolist(), (True, False), strict=True):
        for i in row:
            if inside:
                assert V.is_unit(i) or i == V.audio_end
                inside = i != V.audio_end
            else:
                assert i < V.text_size or i == V.audio_begin
                inside = i == V.audio_begin


@pytest.mark.parametrize("mode", ["text", "speech", "any"])
def test_wave_markers_and_padding_rows_never(mode: str) -> None:
    legal = LegalTokens(V, mode, eos_token_id=EOS)
    for i in (V.wave_begin, V.wave_end, V.wave, *range(V.audio_stop, V.vocab_size)):
        assert not legal.legal[:, i].any()


def test_legal_scores_are_left_alone() -> None:
    scores = torch.randn(2, V.vocab_size)
    out = LegalTokens(V, "any", eos_token_id=EOS)(torch.tensor(PROMPT), scores)
    kept = out > -torch.inf
    assert torch.equal(out[kept], scores[kept])
    assert kept.sum(-1).tolist() == [V.n_units + 1, V.text_size + 1]


def test_it_closes_even_when_only_the_wrong_tokens_have_mass() -> None:
    scores = torch.full((2, V.vocab_size), float("-inf"))
    scores[:, 3] = 100.0
    row = run("speech", PROMPT, [scores] * 3)
    assert (row[0] >= V.text_size).all()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["text", "speech", "any"]), st.lists(st.integers(0, V.vocab_size - 1), max_size=9))
def test_followed_token_by_token_the_state_is_that_of_all_ids(mode: str, tokens: list[int]) -> None:
    ids = torch.tensor(PROMPT)
    legal = LegalTokens(V, mode, eos_token_id=EOS, prompt_length=ids.shape[1])
    state = legal.state(ids)
    for token in tokens:
        ids = torch.cat([ids, torch.tensor([[token], [token]])], dim=1)
        state = legal.after(state, ids[:, -1])
        assert torch.equal(state, legal.state(ids))


def test_an_empty_prompt_is_outside() -> None:
    legal = LegalTokens(V, "any", eos_token_id=EOS)
    assert legal.state(torch.zeros(2, 0, dtype=torch.long)).tolist() == [0, 0]


def test_refusals() -> None:
    with pytest.raises(MostError, match="did you mean 'speech'"):
        LegalTokens(V, "speeches", eos_token_id=EOS)
    with pytest.raises(MostError, match="below 10"):
        LegalTokens(V, "text", eos_token_id=[1, 12])
