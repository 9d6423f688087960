"""Layouts of pairs, as small folders in exactly the published form; what is not whole is refused by file and line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.sets.pairs import Pair, Said, check_pairs, first_pairs, read_built
from most.evaluate.sets.story_cloze import read_story_cloze
from most.evaluate.sets.zerospeech import read_zerospeech
from most.speech.audio import write_audio

# Columns and order of the release; the pseudo-word's frequency is empty there.
LEXICAL = ["id", "filename", "voice", "frequency", "word", "phones", "length", "correct"]
SYNTACTIC = ["id", "filename", "voice", "type", "subtype", "transcription", "correct"]


def tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, (0.3 * np.sin(np.arange(4000) / 9)).astype(np.float32), 16000)


def gold(folder: Path, columns: list[str], rows: list[list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gold.csv").open("w", newline="") as f:
        csv.writer(f).writerows([columns, *rows])
    for row in rows:
        tone(folder / f"{row[1]}.wav")
    return folder / "gold.csv"


@pytest.fixture
def zerospeech(tmp_path):
    gold(
        tmp_path / "lexical/dev",
        LEXICAL,
        [
            ["0", "aa", "A", "0", "wug", "W AH1 G", "3", "1"],
            ["1", "ac", "A", "5", "brick", "B R IH1 K", "4", "1"],
            ["0", "ab", "A", "", "", "W IH1 G", "3", "0"],
            ["1", "ad", "A", "", "", "B L IH1 K", "4", "0"],
            ["1", "ae", "B", "5", "brick", "B R IH1 K", "4", "1"],
            ["1", "af", "B", "", "", "B L IH1 K", "4", "0"],
        ],
    )
    gold(
        tmp_path / "syntactic/test",
        SYNTACTIC,
        [
            ["0", "s1", "A", "agreement", "gender", "she sees herself", "1"],
            ["0", "s2", "A", "agreement", "gender", "she sees himself", "0"],
            ["0", "s3", "A", "islands", "wh", "who did he see", "1"],
            ["0", "s4", "A", "islands", "wh", "who did he see her", "0"],
        ],
    )
    return tmp_path


def settings(kind: str, path: Path, **options: object) -> SetSettings:
    return SetSettings(kind=kind, path=str(path), options=options)


def test_swuggy(zerospeech):
    pairs, info = read_zerospeech(settings("zerospeech", zerospeech, task="lexical"))
    check_pairs(pairs, "speech")
    assert info.name == "sWUGGY (dev)"
    assert info.stand_in_for is None
    assert [(p.pair, p.voice, p.group) for p in pairs] == [("0", "A", "oov"), ("1", "A", "6-20"), ("1", "B", "6-20")]
    folder = zerospeech / "lexical/dev"
    assert pairs[2].good == Said(audio=folder / "ae.wav", text="brick")
    assert pairs[2].bad == Said(audio=folder / "af.wav", text="B L IH1 K")


def test_frequency_bands_are_the_toolkits(tmp_path):
    # pandas.cut with bins [0, 1, 5, 20, 100, inf], right=False, is what the challenge's toolkit calls
    pandas = pytest.importorskip("pandas")
    counts = [0, 1, 4, 5, 19, 20, 99, 100, 5000]
    rows = []
    for k, count in enumerate(counts):
        rows += [[str(k), f"g{k}", "A", str(count), "w", "W", "1", "1"], [str(k), f"b{k}", "A", "", "", "V", "1", "0"]]
    gold(tmp_path / "lexical/dev", LEXICAL, rows)
    pairs, _ = read_zerospeech(settings("zerospeech", tmp_path, task="lexical"))
    labels = ["oov", "1-5", "6-20", "21-100", ">100"]
    assert [p.group for p in pairs] == list(pandas.cut(counts, [0, 1, 5, 20, 100, np.inf], labels=labels, right=False))


def test_sblimp_ids_repeat_in_other_phenomena(zerospeech):
    pairs, info = read_zerospeech(settings("zerospeech", zerospeech, task="syntactic", split="test"))
    check_pairs(pairs, "text")
    assert info.name == "sBLIMP (test)"
    assert [(p.pair, p.group, p.good.text, p.bad.text) for p in pairs] == [
        ("agreement/gender/0", "agreement", "she sees herself", "she sees himself"),
        ("islands/wh/0", "islands", "who did he see", "who did he see her"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("0,ab,A,,,W IH1 G,3,0\r\n", ""), r"gold\.csv:2.*no member with correct = 0"),
        (lambda text: text.replace("W IH1 G,3,0", "W IH1 G,3,1"), r"gold\.csv:4.*a second member with correct = 1"),
        (lambda text: text.replace("W IH1 G,3,0", "W IH1 G,3,no"), r"gold\.csv:4.*must be 0 or 1"),
        (lambda text: text.replace("W IH1 G,3,0", "W IH1 G,3"), r"gold\.csv:4.*8 fields"),
        (lambda text: text.replace("frequency", "count"), r"gold\.csv.*no column 'frequency'"),
        (lambda text: text.replace("A,5,", "A,five,"), r"gold\.csv:3.*must be a number"),
    ],
)
def test_a_gold_file_that_is_not_whole(zerospeech, change, message):
    path = zerospeech / "lexical/dev/gold.csv"
    path.write_bytes(change(path.read_bytes().decode()).encode())
    with pytest.raises(MostError, match=message):
        read_zerospeech(settings("zerospeech", zerospeech, task="lexical"))


def test_zerospeech_options_and_missing_files(zerospeech):
    with pytest.raises(MostError, match="task"):
        read_zerospeech(settings("zerospeech", zerospeech))
    with pytest.raises(MostError, match="no such file"):
        read_zerospeech(settings("zerospeech", zerospeech, task="lexical", split="test"))
    (zerospeech / "lexical/dev/af.wav").unlink()
    pairs, _ = read_zerospeech(settings("zerospeech", zerospeech, task="lexical"))
    with pytest.raises(MostError, match=r"gold\.csv:6.*af\.wav.*no such file"):
        check_pairs(pairs, "speech")


@pytest.fixture
def stories(tmp_path):
    for name in ("0_c0ffee_correct", "1_c0ffee_incorrect", "10_beef_correct", "11_beef_incorrect", "2_x_correct"):
        tone(tmp_path / f"{name}.wav")
    tone(tmp_path / "3_x_incorrect.wav")
    return tmp_path


def test_story_cloze(stories):
    pairs, info = read_story_cloze(settings("story_cloze", stories, version="t"))
    check_pairs(pairs, "speech")
    assert info.name == "tStoryCloze"
    assert [(p.id, p.good.audio.name, p.bad.audio.name) for p in pairs] == [
        ("c0ffee", "0_c0ffee_correct.wav", "1_c0ffee_incorrect.wav"),
        ("x", "2_x_correct.wav", "3_x_incorrect.wav"),
        ("beef", "10_beef_correct.wav", "11_beef_incorrect.wav"),
    ]
    with pytest.raises(MostError, match=r"0_c0ffee_correct.*no text"):
        check_pairs(pairs, "text")


def test_story_cloze_with_a_common_beginning_and_texts(tmp_path):
    for k in (0, 1):
        for member in ("mutual", "correct", "incorrect"):
            tone(tmp_path / f"{k}_{member}.wav")
            (tmp_path / f"{k}_{member}.txt").write_text(f"{member} {k}\n")
    pairs, _ = read_story_cloze(settings("story_cloze", tmp_path, version="s"))
    check_pairs(pairs, "text")
    assert [(p.id, p.prompt.text, p.good.text, p.bad.text) for p in pairs] == [
        ("0", "mutual 0", "correct 0", "incorrect 0"), ("1", "mutual 1", "correct 1", "incorrect 1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [("4_y_correct", "4_y_correct.*no incorrect member"), ("4_x_correct", "4_x_correct.*second correct"),
     ("noise", "noise.wav.*is not named"), ("5_y_mutual", "5_y_mutual.*no correct member")],
)  # fmt: skip
def test_stories_that_are_not_whole(stories, name, message):
    tone(stories / f"{name}.wav")
    with pytest.raises(MostError, match=message):
        read_story_cloze(settings("story_cloze", stories, version="s"))


LINES = [
    {"id": "w1-a", "pair": "w1", "voice": "a", "group": "1-5", "prompt": None,
     "good": {"audio": "audio/g.wav", "text": "brick"}, "bad": {"audio": "audio/b.wav", "text": "blick"}},
    {"id": "w1-b", "pair": "w1", "voice": "b", "group": "1-5", "prompt": {"audio": "audio/p.wav", "text": "once"},
     "good": {"audio": "audio/g.wav", "text": "brick"}, "bad": {"audio": "audio/b.wav", "text": "blick"}},
]  # fmt: skip


@pytest.fixture
def built(tmp_path):
    for name in "gbp":
        tone(tmp_path / f"audio/{name}.wav")
    write_info(tmp_path, SetInfo(name="words", source="a builder", licence="CC0", stand_in_for="sWUGGY"))
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return tmp_path


def test_a_built_set_carries_its_label(built):
    pairs, info = read_built(settings("built", built))
    check_pairs(pairs, "speech")
    check_pairs(pairs, "text")
    assert info.stand_in_for == "sWUGGY"
    assert [(p.id, p.pair, p.voice, p.group) for p in pairs] == [("w1-a", "w1", "a", "1-5"), ("w1-b", "w1", "b", "1-5")]
    assert pairs[0].prompt is None
    assert pairs[1].prompt == Said(audio=built / "audio/p.wav", text="once")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"good": None}, r"pairs\.jsonl:2: good.*must be an object"),
        ({"good": {"wav": "x"}}, r"pairs\.jsonl:2: good"),
        ({"bad": {"audio": "audio/none.wav", "text": "x"}}, r"pairs\.jsonl:2.*none\.wav.*no such file"),
        ({"bad": {"audio": None, "text": "x"}}, r"pairs\.jsonl:2: bad.*names no audio"),
        ({"id": "w1-a"}, r"pairs\.jsonl:2: w1-a.*used by"),
    ],
)
def test_a_built_set_that_is_not_whole(built, change, message):
    (built / "pairs.jsonl").write_text(json.dumps(LINES[0]) + "\n" + json.dumps(LINES[1] | change) + "\n")
    with pytest.raises(MostError, match=message):
        check_pairs(read_built(settings("built", built))[0], "speech")


def test_built_refusals(built, tmp_path):
    with pytest.raises(MostError, match="takes none"):
        read_built(settings("built", built, split="dev"))
    (built / "pairs.jsonl").write_text(json.dumps({"id": "a", "good": {"text": "x"}}) + "\n")
    with pytest.raises(MostError, match="no field 'bad'"):
        read_built(settings("built", built))
    with pytest.raises(MostError, match=r"set\.json"):
        read_built(settings("built", tmp_path / "none"))
    with pytest.raises(MostError, match="no pair"):
        check_pairs([], "text")
    with pytest.raises(MostError, match="same text"):
        check_pairs([Pair(id="a", pair="a", good=Said(text="x"), bad=Said(text="x"), where="f:1")], "text")


def test_a_limit_spreads_over_the_set_and_keeps_all_voices():
    pairs = [Pair(id=f"{k}{v}", pair=str(k), good=Said(), bad=Said(), voice=v) for k in range(10) for v in "ab"]
    assert [p.id for p in first_pairs(pairs, 3)] == ["0a", "0b", "3a", "3b", "6a", "6b"]
    assert first_pairs(pairs, None) == first_pairs(pairs, 10) == first_pairs(pairs, 99) == pairs
