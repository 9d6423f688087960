"""The digits corpus: the same bytes each time, nothing shared between training and test, manifests that read back."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from most.data.digits import Augment, build_digits, connect
from most.data.fsdd import SPEAKERS, TEST_TAKES, Recordings, pack_recordings, take_of
from most.data.prompts import ASR_PROMPTS, DIGIT_WORDS, PROMPTS, number_sentence, prompt
from most.errors import MostError
from most.manifest import read_examples, read_utterances

SMALL = {"n_train": 60, "n_test": 10, "n_text": 12, "held_out_speaker": "theo", "seed": 3}


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return build_digits(tmp_path_factory.mktemp("digits"), **SMALL, augment=Augment(share=0.5))


def test_same_arguments_give_the_same_bytes(corpus, tmp_path):
    again = build_digits(tmp_path / "b", **SMALL, augment=Augment(share=0.5))
    assert digest(again.folder) == digest(corpus.folder)
    other = build_digits(tmp_path / "c", **(SMALL | {"seed": 4}), augment=Augment(share=0.5))
    assert digest(other.folder)["train.jsonl"] != digest(corpus.folder)["train.jsonl"]


def test_more_training_data_leaves_the_test_sets_as_they_are(corpus, tmp_path):
    more = digest(build_digits(tmp_path / "m", **(SMALL | {"n_train": 70})).folder)
    tests = {k: v for k, v in digest(corpus.folder).items() if "test" in k}
    assert len(tests) == 3 + 2 * 10
    assert tests.items() <= more.items()


def test_a_finished_build_is_left_alone_and_a_changed_one_is_made_anew(tmp_path):
    first = build_digits(tmp_path / "d", **SMALL)
    wav = tmp_path / "d/audio/train/00000-george.flac"
    stamp = wav.stat().st_mtime_ns
    assert build_digits(tmp_path / "d", **SMALL) == first
    assert wav.stat().st_mtime_ns == stamp
    build_digits(tmp_path / "d", **(SMALL | {"n_train": 5}))
    assert len(list((tmp_path / "d/audio/train").iterdir())) == 5


def test_no_recording_speaker_or_text_leaks_into_training(corpus):
    train = [e for e in read_examples(corpus.train) if e.task != "text"]
    heard, unheard = read_examples(corpus.test_asr_heard), read_examples(corpus.test_asr_unheard)
    used = {r for e in train for r in e.meta["recordings"]}
    tested = {r for e in [*heard, *unheard, *read_examples(corpus.test_tts)] for r in e.meta["recordings"]}
    assert not used & tested
    assert not {r for r in used if "theo" in r or take_of(r) in TEST_TAKES}
    assert {e.turns[0].speaker for e in unheard} == {"theo"}
    assert {e.turns[0].speaker for e in heard} == set(SPEAKERS) - {"theo"}
    assert all(take_of(r) in TEST_TAKES for e in heard for r in e.meta["recordings"])
    spoken = {e.turns[1].text or e.meta["text"] for e in train}
    assert not spoken & {e.turns[1].text for e in [*heard, *unheard]}


def test_examples_say_what_their_audio_says(corpus):
    examples = read_examples(corpus.train)
    assert Counter(e.task for e in examples) == {t: corpus.counts[t] for t in ("asr", "tts", "text")}
    assert corpus.counts["asr"] == 60
    assert corpus.counts["text"] == 12
    clean = {u.audio.path: u for u in read_utterances(corpus.utterances)}
    assert 15 < len(clean) < 45
    assert corpus.counts["tts"] == len(clean)
    for e in examples:
        if e.task == "text":
            assert e.turns[0].role == "document"
            continue
        user, assistant = e.turns
        words = [DIGIT_WORDS[int(r.split("_")[0])] for r in e.meta["recordings"]]
        assert 3 <= len(words) <= 6
        if e.task == "asr":
            assert assistant.text == " ".join(words)
            assert user.text in ASR_PROMPTS
            assert (user.audio.path in clean) == ("augmented" not in e.meta)
        else:
            assert clean[assistant.audio.path].text == " ".join(words) == e.meta["text"]
            assert user.text.endswith(" ".join(words))
    counts = Counter(w for e in examples if e.task == "asr" for w in e.turns[1].text.split())
    assert max(counts.values()) - min(counts.values()) <= 10
    assert set(Counter(e.turns[0].speaker for e in examples if e.task == "asr").values()) == {12}


def test_audio_is_16_khz_level_and_free_of_digital_silence(corpus):
    for u in read_utterances(corpus.utterances)[:10]:
        wav, rate = sf.read(u.audio.path, dtype="float32")
        assert rate == 16000
        assert wav.ndim == 1
        frames = wav[: len(wav) // 160 * 160].reshape(-1, 160)
        level = 20 * np.log10(np.sqrt((frames**2).mean(1)))
        active = frames[level > level.max() - 20]
        assert -27 < 10 * np.log10((active**2).mean()) < -19
        assert level.min() > -80
        assert np.abs(wav).max() <= 0.96


def test_connecting_joins_all_of_each_digit():
    parts = [np.full(800, 0.1, np.float32), np.full(1600, 0.1, np.float32)]
    wav = connect(parts, np.random.default_rng(0), gap_seconds=(0.1, 0.1))
    assert len(wav) == 800 + 800 + 800 + 1600 + 800
    assert np.abs(wav[:800]).max() < 0.01
    assert np.abs(wav[800:1600]).min() > 0.05


def test_tts_speakers_narrows_the_voices(tmp_path):
    corpus = build_digits(tmp_path / "t", **SMALL, tts_speakers=("jackson",), varied_prompts=False)
    tts = [e for e in read_examples(corpus.train) if e.task == "tts"]
    assert len(tts) == 12
    assert {e.turns[1].speaker for e in [*tts, *read_examples(corpus.test_tts)]} == {"jackson"}
    assert all(e.turns[0].text.startswith("Say: ") for e in tts)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"held_out_speaker": "teo"}, "held_out_speaker"),
        ({"tts_speakers": ("theo",)}, "tts_speakers"),
        ({"n_test": 0}, "n_test"),
        ({"digits_per_utterance": (6, 3)}, "digits_per_utterance"),
        ({"n_test": 200, "digits_per_utterance": (2, 2)}, "n_test"),
    ],
)
def test_mistakes_are_named(tmp_path, wrong, field):
    with pytest.raises(MostError) as e:
        build_digits(tmp_path / "x", **(SMALL | wrong))
    assert e.value.field == field


def test_a_folder_of_other_files_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(MostError, match="empty"):
        build_digits(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_shipped_recordings_are_complete_and_packed_without_loss(tmp_path):
    recordings = Recordings()
    assert all(len(recordings.ids(s, d)) == 34 for s in SPEAKERS for d in range(10))
    rng = np.random.default_rng(0)
    raw = {}
    for speaker in SPEAKERS:
        for digit in range(10):
            raw[f"{digit}_{speaker}_0"] = wav = rng.integers(-9999, 9999, 400).astype(np.int16)
            sf.write(tmp_path / f"{digit}_{speaker}_0.wav", wav, 8000)
    (tmp_path / "out").mkdir()
    assert pack_recordings(tmp_path, tmp_path / "out", n_takes=1) == 60
    for u in read_utterances(tmp_path / "out/recordings.jsonl"):
        wav = sf.read(u.audio.path, dtype="int16")[0]
        start = round(u.audio.start * 8000)
        assert np.array_equal(wav[start : start + 400], raw[u.id])
    with pytest.raises(MostError, match="no such recording"):
        pack_recordings(tmp_path, tmp_path / "out", n_takes=2)


def test_prompts_have_a_canonical_wording_and_sentences_are_true():
    assert prompt("tts", "three {text}") == "Say: three {text}"
    assert {prompt("asr", rng=np.random.default_rng(i)) for i in range(50)} == set(PROMPTS["asr"])
    with pytest.raises(MostError, match="asr"):
        prompt("ast")
    value = {w: i for i, w in enumerate(DIGIT_WORDS)}
    for seed in range(200):
        s = number_sentence(np.random.default_rng(seed)).split()
        if "make" in s:
            assert value[s[0]] + value[s[2]] == value[s[4]]
        elif "leaves" in s:
            assert value[s[0]] - value[s[3]] == value[s[5]]
        elif "smaller" in s:
            assert value[s[0]] < value[s[4]]
        elif "comes" in s:
            assert value[s[3]] - value[s[1]] == (1 if s[0] == "after" else -1)


def test_further_speech_to_learn_from_shares_no_text_or_recording_with_its_test(tmp_path):
    corpus = build_digits(tmp_path / "d", **SMALL, n_tts=30, tts_speakers=("lucas",), digits_per_utterance=(2, 4))
    rows = [e for e in read_examples(corpus.train) if e.task == "tts"]
    test = read_examples(corpus.test_tts)
    assert len(rows) == 30 + sum(e.task == "asr" and e.turns[0].speaker == "lucas" for e in read_examples(corpus.train))
    assert len(test) == SMALL["n_test"]
    assert {e.turns[1].speaker for e in rows + test} == {"lucas"}
    assert not {e.meta["text"] for e in rows} & {e.meta["text"] for e in test}
    used = {r for e in rows for r in e.meta["recordings"]}
    assert not used & {r for e in test for r in e.meta["recordings"]}
