"""Every stand-in: the same bytes again and after any interruption, labelled as what it is, with what failed named."""

from __future__ import annotations

import json

import pytest
import soundfile
import yaml

from most.data.dialogue.voice import work
from most.data.stand_ins import build as module
from most.data.stand_ins.info import read_info
from most.errors import MostError

STORIES = [{"id": f"s{k}", "sentences": [f"Story {k} says that {n} is a number." for n in "abcde"]} for k in range(4)]
QUESTIONS = [{"question": f"what is number {k} called?", "answers": ["nothing"]} for k in range(4)]
WORDS = ["KAT K AE1 T", "BAT B AE1 T", "BIT B IH1 T", "KIT K IH1 T", "TAB T AE1 B", "TIP T IH1 P", "PEN P EH1 N"]
FOR_SETS = {"sblimp": "sBLIMP", "swuggy": "sWUGGY", "story-cloze": "Spoken StoryCloze", "spoken-qa": "WebQuestions"}


@pytest.fixture
def made(recipe, written, tmp_path):
    """A small recipe of each verb."""

    def make(verb, name="out", **keys):
        if verb == "swuggy":
            (tmp_path / "words.dict").write_text("".join(w.lower().split()[0] + w[3:] + "\n" for w in WORDS))
            keys = {"source": str(tmp_path / "words.dict"), "limit": 3, "licence": "BSD", **keys}
        elif verb == "story-cloze":
            keys = {"source": written(STORIES, "stories.jsonl"), **keys}
        elif verb == "spoken-qa":
            keys = {"source": written(QUESTIONS, "qa.jsonl"), **keys}
        else:
            keys = {"limit": 4, **keys}
        return recipe(verb, name, **keys)

    return make


@pytest.mark.parametrize("verb", FOR_SETS)
def test_a_set_says_what_it_is(verb, made, run):
    one = made(verb)
    rows, said = run(verb, one)
    assert rows
    assert "h of speech" in said
    for row in rows:
        sides = [row["good"]["audio"], row["bad"]["audio"]] if "good" in row else [row["audio"]]
        for audio in sides:
            info = soundfile.info(one.output / audio)
            assert (info.samplerate, info.channels) == (16000, 1)
            assert info.frames > 1000
        assert row["voice"] in ("phone-tones:low", "phone-tones:high")
    info = read_info(one.output)
    assert info.stand_in_for is not None
    assert FOR_SETS[verb] in info.stand_in_for
    assert "phone-tones:low" in info.source
    card = (one.output / "README.md").read_text()
    assert f"A stand-in for {info.stand_in_for}, not that set" in card
    assert f"items: {len(rows)}" in card
    settings = yaml.safe_load(card.split("```yaml")[1].split("```")[0])
    assert settings["verb"] == verb
    assert str(one.output.parent) not in card
    assert len({r["id"] for r in rows}) == len(rows)


@pytest.mark.parametrize("verb", FOR_SETS)
def test_again_elsewhere_the_same_bytes(verb, made, run, contents):
    one, two = made(verb, "one"), made(verb, "two")
    run(verb, one)
    run(verb, two)
    assert contents(one.output) == contents(two.output)
    assert "nothing to do" in run(verb, one)[1]
    assert contents(one.output) == contents(two.output)
    other = made(verb, "three", seed=9)
    run(verb, other)
    assert contents(other.output / "audio") != contents(one.output / "audio")


@pytest.mark.parametrize("verb", ["sblimp", "story-cloze"])
def test_stopped_at_any_item_it_ends_with_the_same_bytes(verb, made, run, contents, monkeypatch):
    whole = made(verb, "whole")
    n = len(run(verb, whole)[0])
    assert n == 4
    for stop in range(n):
        one, seen = made(verb, f"stopped{stop}"), 0

        def dies(item, speaker, stop=stop):
            nonlocal seen
            seen += 1
            if seen > stop:
                raise KeyboardInterrupt
            return module.say(item, speaker)

        with monkeypatch.context() as m:
            m.setattr(module, "ITEMS", work.Work(id=module.ITEMS.id, make=dies, reject=module.ITEMS.reject))
            with pytest.raises(KeyboardInterrupt):
                run(verb, one)
        assert not (one.output / "set.json").exists()
        with pytest.raises(MostError, match="build the set first"):
            read_info(one.output)
        assert ("goes on: " in run(verb, one)[1]) == (stop > 0)
        assert contents(one.output) == contents(whole.output)


def test_killed_before_the_last_word(made, run, contents, monkeypatch):
    whole, one = made("sblimp", "whole"), made("sblimp", "one")
    run("sblimp", whole)
    with monkeypatch.context() as m:
        m.setattr(module, "write_info", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run("sblimp", one)
    run("sblimp", one)
    assert contents(one.output) == contents(whole.output)


def test_what_cannot_be_said_is_counted_and_named(recipe, run, written):
    pairs = [
        {"sentence_good": f"{good} {k}.", "sentence_bad": f"Bad it {k}.", "UID": "a", "pairID": str(k)}
        for k, good in enumerate(["It is", "An unspeakable", "It was"])
    ]
    one = recipe("sblimp", source=written([*pairs, {"UID": "a"}]), max_rejected_share=0.5)
    rows, said = run("sblimp", one)
    assert sorted(r["pair"] for r in rows) == ["a-0", "a-2"]
    rejected = [json.loads(line) for line in (one.output / "rejected.jsonl").read_text().splitlines()]
    assert {r["reason"] for r in rejected} == {"cannot be said", "no minimal pair"}
    card = (one.output / "README.md").read_text()
    assert "items: 2, left out: 2" in card
    assert "| cannot be said | 1 |" in card
    assert "| no minimal pair | 1 |" in card
    assert "1 left out" in said
    assert len(list((one.output / "audio").iterdir())) == 4
    with pytest.raises(MostError, match="cannot be said"):
        run("sblimp", recipe("sblimp", "strict", source=written(pairs), max_rejected_share=0.1))


def test_a_voice_that_was_away_is_asked_again(recipe, run, phone_tones, monkeypatch):
    voice = phone_tones(fails=99)
    monkeypatch.setitem(work.make_voices.__globals__, "make_synthesizer", lambda kind, settings: voice)
    one = recipe("sblimp", limit=2)
    with pytest.raises(MostError, match="voice failed"):
        run("sblimp", one)
    voice.fails = 0
    assert len(run("sblimp", one)[0]) == 2


def test_every_voice(recipe, run):
    one = recipe("sblimp", limit=3, every_voice=True)
    rows, _ = run("sblimp", one)
    assert len(rows) == 6
    assert {r["pair"] for r in rows if r["voice"] == "phone-tones:low"} == {r["pair"] for r in rows}


def test_what_is_refused(recipe, run, written):
    with pytest.raises(MostError, match="give it away"):
        recipe("sblimp", gate={"judge": "pocketsphinx-digits", "settings": {}})
    with pytest.raises(MostError, match="clean"):
        recipe("spoken-qa", augment={"noise": {"share": 0.5}})
    with pytest.raises(MostError, match="takes no phones"):
        run("swuggy", recipe("swuggy", limit=2, voices=[{"kind": "tones"}], source=_words(written)))
    with pytest.raises(MostError, match="no such file"):
        run("sblimp", recipe("sblimp", source="nowhere.jsonl"))
    with pytest.raises(MostError, match="no minimal pair"):
        run("sblimp", recipe("sblimp", source=written([{"text": "a"}])))
    one = recipe("sblimp", limit=2)
    run("sblimp", one)
    with pytest.raises(MostError, match="begun with"):
        run("sblimp", recipe("sblimp", limit=3))


def _words(written):
    path = written([], "words.dict")
    with open(path, "w") as f:
        f.writelines(f"{w.lower().split()[0]} {' '.join(w.split()[1:])}\n" for w in WORDS)
    return path
