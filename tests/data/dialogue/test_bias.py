"""The bias report's figures against counts by hand, its findings against their limits, and its page."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from most.data.dialogue.bias import Tally, effective_number, findings
from most.data.dialogue.bias_items import Item, Speech, read_items
from most.data.dialogue.bias_page import write_bias_report
from most.data.dialogue.dialogue import write_dialogues
from most.data.dialogue.interruptions.base import interrupted
from most.errors import MostError

pytest.importorskip("datasketch")
FILMS = ("Do you like films?", "I like old films a lot.", "Me too.", "Good.")


@pytest.fixture
def few(make):
    """Two about films that are alike, one about music, one interrupted behind 9 of 19 words."""
    before = make("cut")
    text = before.turns[1].text
    at = text.index(" by two brothers")
    return [
        make("a", *FILMS, topic="films"),
        make("b", *FILMS[:3], "Good!", topic="films"),
        make("c", "Play some music.", "Here is some music.", topic="music", source="other", licence=""),
        interrupted(before, 1, at, "Wait, who?", "Two brothers.", f"So, built{text[at:]}", kind="clarify"),
    ]


def summary(dialogues):
    tally = Tally()
    for d in dialogues:
        tally.add(d if isinstance(d, Item) else Item(dialogue=d))
    return tally.summary()


def test_figures_equal_counts_by_hand(few):
    rows = summary(few)
    assert (rows["n_dialogues"], rows["n_turns"]) == (4, 4 + 4 + 2 + 6)
    assert rows["topics"] == {"films": 2, "music": 1, "sights": 1}
    assert rows["sources"] == {"tests (CC0-1.0)": 3, "other (licence unknown)": 1}
    assert rows["turn_counts"] == {"2": 1, "4": 2, "6": 1}
    assert rows["words_of_a_turn"]["user"] == {"2": 4, "3": 1, "4": 2, "5": 1}
    assert rows["words_of_a_turn"]["assistant"] == {"1": 2, "2": 1, "4": 1, "6": 2, "9": 1, "14": 1}
    assert rows["n_words"] == 2 * (4 + 6 + 2 + 1) + (3 + 4) + (5 + 9 + 2 + 14 + 2 + 2)
    cut = rows["interruptions"]
    assert (cut["dialogues"], cut["share"], cut["different_phrases"]) == (1, 0.25, 1)
    assert cut["at_share_of_turn"] == {"0.45": 1}, "9 of 19 words are 0.47"
    assert cut["turn"] == {"2": 1}
    assert (cut["kinds"], cut["phrases"]) == ({"clarify": 1}, {"Wait, who?": 1})
    assert rows["openings"]["user"]["do you"] == 2
    assert rows["phrases"] == {"i like old films a": 2, "do you like films": 2}


def test_near_duplicates_are_found(few):
    rows = summary(few)["near_duplicates"]
    assert (rows["pairs"], rows["superfluous"], rows["share"], rows["groups"]) == (1, 1, 0.25, [["a", "b"]])
    assert rows["examples"] == [["b", "a", 1.0]]


def test_a_phrase_counts_once_a_dialogue_and_not_beside_a_longer_one(make):
    twice = "We went there by night train. We went there by night train."
    rows = summary([make(f"d{k}", twice, str(k)) for k in range(3)])
    (phrase, n), *_ = rows["phrases"].items()
    assert n == 3
    assert len(phrase.split()) == 5
    assert "went there by" not in rows["phrases"]


def test_effective_number():
    assert effective_number(Counter(a=5, b=5, c=5)) == pytest.approx(3)
    assert effective_number(Counter(a=99, b=1)) == pytest.approx(1.058, abs=1e-3)
    assert effective_number(Counter()) == 0


def test_voices(few):
    speech = (
        Speech(role="user", voice="k/ann", seconds=2.0, words=5),
        Speech(role="assistant", voice="k/bob", seconds=4.0, words=6),
        Speech(role="assistant", voice="k/bob", seconds=1.0, words=4),
    )
    rows = summary([Item(dialogue=few[0], speech=speech)])["voices"]
    assert rows["turns"] == {"assistant": {"k/bob": 2}, "user": {"k/ann": 1}}
    assert rows["seconds"] == {"k/bob": 5.0, "k/ann": 2.0}
    assert rows["words_per_second"] == {"k/ann": 2.5, "k/bob": 2.0}
    assert rows["turn_words_per_second"] == {"1.4": 1, "2.4": 1, "4.0": 1}


def test_findings(make):
    """Each rule of thumb is silent below its limit and speaks above it."""
    words = [f"w{k}" for k in range(400)]
    different = [make(f"d{k}", " ".join(words[k * 8 : k * 8 + 8]), f"Answer {k}", topic=str(k % 10)) for k in range(40)]
    assert findings(summary(different)) == ["No dialogue holds an interruption."]
    said = findings(summary([replace(d, topic="one" if k < 20 else d.topic) for k, d in enumerate(different)]))
    assert any("50% of the dialogues are about one topic, 'one'" in line for line in said)
    said = findings(summary([replace(d, topic="") for d in different]))
    assert any("topics are unknown" in line for line in said)
    phrase = [make(f"p{k}", f"So as I was saying {words[k]} and {words[k + 9]}", "Yes.", topic="p") for k in range(6)]
    said = findings(summary([*different, *phrase]))
    assert any("'so as i was saying' stands in 13%" in line for line in said)
    said = findings(summary([*different, replace(different[0], id="twin")]))
    assert any("2.4% of the dialogues resemble another" in line for line in said)
    voices = (Speech(role="user", voice="ann", seconds=1.0, words=2),)
    said = findings(summary([Item(dialogue=d, speech=voices) for d in different]))
    assert "100% of the user's turns have one voice, ann (over 50 %)." in said
    before = make("cut")
    cut = interrupted(before, 1, 50, "Wait.", "Sure.", before.turns[1].text[50:])
    said = findings(summary([replace(cut, id=f"c{k}") for k in range(25)]))
    assert any("'Wait.' comes back in 100.0%" in line for line in said)
    assert any("come at the same point, 45% of the turn" in line for line in said)


def test_nothing_to_report_on():
    with pytest.raises(MostError, match="nothing to report on"):
        Tally().summary()


def test_page_and_json(tmp_path, few):
    pytest.importorskip("matplotlib")
    write_dialogues(tmp_path / "d.jsonl", few)
    rows = write_bias_report(tmp_path / "d.jsonl", tmp_path / "report.html")
    assert json.loads((tmp_path / "report.json").read_text()) == rows
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 5, "topics, turns, words, cuts, cut turns"
    for text in ("Wait, who?", "Near-duplicates", "sights", "25%", *rows["findings"]):
        assert re.sub("'", "&#x27;", text) in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert not re.search(r'(?:src|href)="https?:', page)


def test_folders(tmp_path, few):
    write_dialogues(tmp_path / "a.jsonl", few[:2])
    write_dialogues(tmp_path / "b.jsonl", few[2:])
    (tmp_path / "b.rejected.jsonl").write_text('{"id": "x", "reasons": []}\n')
    (tmp_path / "b.journal.jsonl").write_text('{"format": 1}\n')
    assert [i.dialogue for i in read_items(tmp_path)] == few
    (tmp_path / "empty").mkdir()
    with pytest.raises(MostError, match="neither a JSONL file nor a folder"):
        list(read_items(tmp_path / "empty"))


def test_records_of_spoken_dialogues(tmp_path):
    turn = {"role": "user", "speaker": "k/ann", "text": "At 5.", "spoken": ["At five."], "audio": "x.flac",
            "start": 0.5, "end": 1.5, "interrupts": False, "interrupted_at": None, "wer": 0.0}  # fmt: skip
    silent = {**turn, "role": "assistant", "speaker": None, "start": None, "end": None}
    record = {"id": "a", "digest": "x", "source": "s", "licence": "l", "topic": "t", "turns": [turn, silent]}
    path = tmp_path / "dialogues" / "a" / "dialogue.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    (item,) = read_items(tmp_path)
    assert item.dialogue.topic == "t"
    assert item.speech == (Speech(role="user", voice="k/ann", seconds=1.0, words=2),)
    path.write_text(json.dumps({**record, "turns": None}))
    with pytest.raises(MostError, match="no record of a spoken dialogue"):
        list(read_items(tmp_path))
