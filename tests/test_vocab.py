"""The vocabulary's arithmetic: one order, one modality function, refusals that name the field."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from most.errors import MostError
from most.vocab import MARKER_TOKENS, Modality, SpeechVocab


@given(text_size=st.integers(1, 200_000), n_units=st.integers(1, 2000), padding=st.integers(0, 128))
def test_ids_tile_the_audio_range(text_size: int, n_units: int, padding: int) -> None:
    v = SpeechVocab(text_size=text_size, n_units=n_units, vocab_size=text_size + n_units + 5 + padding)
    markers = [v.audio_begin, v.audio_end, v.wave_begin, v.wave_end, v.wave]
    assert [v.unit_id(0), v.unit_id(n_units - 1) + 1] == [text_size, markers[0]]
    assert markers == list(range(markers[0], v.audio_stop))
    assert v.n_audio == len(v.added_tokens()) == v.audio_stop - text_size
    assert v.added_tokens()[v.wave - text_size] == "<|wave|>"
    assert tuple(v.added_tokens()[-5:]) == MARKER_TOKENS
    assert v.unit_of(v.unit_id(n_units // 2)) == n_units // 2
    ids = torch.tensor([[0, text_size - 1, text_size, v.audio_begin, v.wave, v.audio_stop, v.vocab_size]])
    assert v.modality_of(ids).tolist() == [[0, 0, 1, 1, 1, 0, 0]]


def test_modality_is_the_group_index_and_the_vocabulary_is_frozen() -> None:
    v = SpeechVocab(text_size=10, n_units=3, vocab_size=18)
    assert (Modality.TEXT, Modality.AUDIO) == (0, 1)
    assert SpeechVocab.unit_token(12) == "<|unit_12|>"
    assert v.modality_of(torch.tensor([9, 10])).dtype == torch.int64
    with pytest.raises(dataclasses.FrozenInstanceError):
        v.text_size = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sizes", "field"),
    [((0, 3, 20), "text_size"), ((10, 0, 20), "n_units"), ((10, 3, 17), "vocab_size")],
)
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int], field: str) -> None:
    with pytest.raises(MostError) as e:
        SpeechVocab(text_size=sizes[0], n_units=sizes[1], vocab_size=sizes[2])
    assert e.value.field == field


def test_unknown_units_are_refused() -> None:
    v = SpeechVocab(text_size=10, n_units=3, vocab_size=18)
    for unit in (-1, 3):
        with pytest.raises(MostError, match="units run"):
            v.unit_id(unit)
    for token in (9, 13):
        with pytest.raises(MostError, match="is not a unit"):
            v.unit_of(token)
