"""The paper's figures stand beside the sets they were measured on, and beside nothing else."""

import pytest

from most.evaluate.answers import MATCHES
from most.evaluate.paper import DISPUTED, GOALS, disputed, find_goal


@pytest.mark.parametrize(
    ("family", "name", "metric", "direction", "value"),
    [
        ("asr", "LibriSpeech test-clean", "wer", "", 0.020),
        ("tts", "LibriSpeech test-other", "wer (faster-whisper:base.en)", "", 0.072),
        ("asr", "librispeech_test_other", "wer", "", 0.037),
        ("asr", "VoxPopuli en, test", "wer", "", 0.062),
        ("tts", "Common Voice 17 en test", "wer", "", 0.115),
        ("audio_lm", "sWUGGY (test)", "accuracy", "", 0.7528),
        ("audio_lm", "sBLIMP (dev)", "accuracy", "", 0.6342),
        ("audio_lm", "sStoryCloze", "accuracy", "", 0.6543),
        ("audio_lm", "tStoryCloze", "accuracy", "", 0.8364),
        ("audio_lm", "sTopic-StoryCloze", "accuracy", "", 0.8364),
        ("spoken_qa", "Llama Questions", "contained", "S→T", 0.748),
        ("spoken_qa", "TriviaQA", "alias", "S→S", 0.321),
        ("spoken_qa", "WebQuestions, spoken", "contained", "S→S", 0.447),
    ],
)
def test_found(family, name, metric, direction, value):
    goal = find_goal(family, name, metric, direction)
    assert goal is not None
    assert goal.value == value


@pytest.mark.parametrize(
    ("family", "name", "metric", "direction"),
    [
        ("asr", "LibriSpeech dev-clean", "wer", ""),
        ("asr", "LibriSpeech train-clean-100", "wer", ""),
        ("asr", "LibriSpeech test-clean", "cer", ""),
        ("asr", "digits", "wer", ""),
        ("tts", "LibriSpeech test-other", "wer/originals (faster-whisper:base.en)", ""),
        ("text", "BLiMP", "accuracy", ""),
        ("audio_lm", "sWUGGY (test)", "accuracy/in vocabulary", ""),
        ("audio_lm", "sWUGGY (test)", "accuracy_total", ""),
        ("spoken_qa", "Llama Questions", "contained", "T→T"),
        ("spoken_qa", "Llama Questions", "exact", "S→T"),
        ("asr", "Llama Questions", "wer", ""),
    ],
)
def test_not_found(family, name, metric, direction):
    assert find_goal(family, name, metric, direction) is None


def test_the_table_is_whole():
    """Eight word error rates, four accuracies, six shares of questions; the mean of the audio LM column is 71.94 %."""
    assert [sum(g.family == f for g in GOALS) for f in ("asr", "tts", "audio_lm", "spoken_qa")] == [4, 4, 4, 6]
    assert sum(g.value for g in GOALS if g.family == "audio_lm") / 4 == pytest.approx(0.7194, abs=5e-5)
    assert {m for g in GOALS if g.family == "spoken_qa" for m in g.metrics} <= set(MATCHES)


def test_disputed_figures_name_their_source():
    assert all(d.paper != d.elsewhere and "arXiv" in d.source for d in DISPUTED)
    cloze = {(d.paper, d.elsewhere) for d in disputed(["audio_lm"]) if d.model == "Moshi" and "Story" in d.set}
    assert cloze == {("46.34", "83.0"), ("45.16", "60.8")}
    assert disputed(["asr"]) == []
