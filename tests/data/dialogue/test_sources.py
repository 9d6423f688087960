"""Where dialogues come from: chat files, a data set by name, the shipped set; what is left out is listed."""

import json

import pytest

from most.data.dialogue.collected import rejected_file
from most.data.dialogue.dialogue import read_dialogues
from most.data.dialogue.sources import collect, open_source, read_chat_jsonl
from most.errors import MostError

ASK, ANSWER = "Which planet is the largest?", "Jupiter is the largest."


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def reasons(out):
    rows = [json.loads(line) for line in rejected_file(out).read_text().splitlines()]
    return {r["id"]: r["reasons"] for r in rows}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]},
        {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ANSWER}]},
        {"conversation": [{"role": "USER", "content": ASK}, {"role": "Assistant", "content": ANSWER}]},
        {"messages": [
            {"role": "user", "content": [{"type": "text", "text": ASK}, {"type": "image_url", "image_url": "x"}]},
            {"role": "assistant", "content": ANSWER},
            {"role": "user", "content": "never answered"},
        ]},
        {"turns": [{"role": "user", "text": ASK}, {"role": "assistant", "text": ANSWER}]},
    ],
)  # fmt: skip
def test_every_form_of_chat(tmp_path, row):
    path = jsonl(tmp_path / "chat.jsonl", row)
    out = tmp_path / "out" / "d.jsonl"
    assert collect(open_source(str(path), licence="MIT"), out).kept == 1
    (made,) = read_dialogues(out)
    assert [(t.role, t.text) for t in made.turns] == [("user", ASK), ("assistant", ANSWER)]
    assert (made.id, made.source, made.licence) == ("chat-0000001", "chat", "MIT")


def test_a_row_may_say_its_own_id_source_licence_and_topic(tmp_path):
    chat = [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]
    row = {"prompt_id": 7, "messages": chat, "source": "mine", "license": "CC0-1.0", "category": "space"}
    (made,) = read_chat_jsonl(jsonl(tmp_path / "c.jsonl", row), licence="MIT")
    assert (made.id, made.source, made.licence, made.topic) == ("7", "mine", "CC0-1.0", "space")


def test_what_is_left_out_is_listed_and_counted(tmp_path):
    def chat(id, *texts):
        roles = ("user", "assistant")
        return {"id": id, "messages": [{"role": roles[k % 2], "content": t} for k, t in enumerate(texts)]}

    path = jsonl(
        tmp_path / "c.jsonl",
        chat("good", ASK, ANSWER),
        chat("again", ASK, ANSWER),
        chat("good", "And the smallest?", "That is Mercury."),
        chat("code", "Sort a list.", "```\nx.sort()\n```"),
        {
            "id": "twice",
            "messages": [{"role": "user", "content": t} for t in "ab"] + [{"role": "assistant", "content": "c"}],
        },
        {"id": "empty", "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]},
        {"id": "tool", "messages": [{"role": "tool", "content": "a"}]},
        {"id": "none", "prompt": "a"},
    )
    out = tmp_path / "d.jsonl"
    done = collect(open_source(str(path)), out)
    assert (done.kept, done.left_out) == (1, 7)
    listed = reasons(out)
    assert listed["again"] == ["seen already"]
    assert listed["good"] == ["an id used already"]
    assert listed["code"] == ["code"]
    assert {id for id, why in listed.items() if why[0].startswith("no dialogue")} == {"twice", "empty", "tool", "none"}
    assert sum(done.reasons.values()) == 7


def test_a_rejected_text_may_come_back_under_an_id_of_its_own(tmp_path):
    """What is left out must not make a later good dialogue a duplicate."""
    bad = {"id": "a", "messages": [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "~~~x~~~"}]}
    good = {"id": "a", "messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]}
    assert collect(open_source(str(jsonl(tmp_path / "c.jsonl", bad, good))), tmp_path / "d.jsonl").kept == 1


@pytest.mark.parametrize(("text", "says"), [("{oops", r"c.jsonl:1.*is not JSON"), ("[1]", "must be a JSON object")])
def test_a_file_that_is_no_jsonl_stops_and_leaves_nothing(tmp_path, text, says):
    (tmp_path / "c.jsonl").write_text(text + "\n")
    with pytest.raises(MostError, match=says):
        collect(open_source(str(tmp_path / "c.jsonl")), tmp_path / "out" / "d.jsonl")
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_sources_are_named(tmp_path):
    with pytest.raises(MostError, match="no such file"):
        open_source(str(tmp_path / "none.jsonl"))
    pytest.importorskip("datasets")
    with pytest.raises(MostError, match="could not be opened"):
        list(open_source("nobody/nothing-of-this-name"))


@pytest.fixture
def smoltalk(tmp_path, monkeypatch):
    """A stand-in for the data set of that name: `datasets` prefers a folder of the same name to the hub."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "HuggingFaceTB" / "smoltalk"
    folder.mkdir(parents=True)
    chat = [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]
    other = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]
    rows = {"messages": [chat, other, chat], "source": ["everyday", "magpie", "magpie"]}
    datasets.Dataset.from_dict(rows).to_parquet(folder / "all-train.parquet")
    configs = "configs:\n- config_name: all\n  data_files:\n  - split: train\n    path: all-train.parquet\n"
    (folder / "README.md").write_text(f"---\n{configs}---\n")
    monkeypatch.chdir(tmp_path)
    return folder


def test_smoltalk_by_name(smoltalk, tmp_path):
    out = tmp_path / "d.jsonl"
    done = collect(open_source("smoltalk"), out)
    assert (done.kept, done.reasons) == (2, {"seen already": 1})
    first, second = read_dialogues(out)
    assert (first.id, first.source) == ("smoltalk-all-train-0000000", "HuggingFaceTB/smoltalk/everyday")
    assert (second.licence, second.turns[1].text) == ("Apache-2.0", "Hello there.")
    assert len(list(open_source("smoltalk", limit=1))) == 1


def test_the_shipped_set_is_whole_and_fit_for_speech(tmp_path, shipped):
    out = tmp_path / "d.jsonl"
    done = collect(open_source("self-dialogue"), out)
    assert (done.kept, done.left_out) == (len(shipped), 0)
    assert list(read_dialogues(out)) == shipped
    assert len(shipped) >= 300
    assert {d.licence for d in shipped} == {"BSD-3-Clause"}
    assert collect(open_source("self-dialogue", limit=5), out).kept == 5
