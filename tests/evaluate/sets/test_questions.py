"""Question sets: each published layout as a small made-up copy of its exact form, and how a wrong one is refused."""

import io
import json

import numpy as np
import pytest
import soundfile as sf

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.sets.questions import Question, load_questions
from most.manifest import AudioRef
from most.speech.audio import write_audio

TONE = (0.1 * np.sin(np.arange(1600) / 5)).astype(np.float32)


def wav_bytes():
    out = io.BytesIO()
    sf.write(out, TONE, 16000, format="WAV")
    return out.getvalue()


def load(kind, path, **more):
    options = {k: v for k, v in more.items() if k not in ("limit", "spoken")}
    rest = {k: v for k, v in more.items() if k in ("limit", "spoken")}
    return load_questions(SetSettings(kind=kind, path=str(path), options=options), **rest)


@pytest.fixture
def llama(tmp_path):
    lines = [
        "Questions\tAnswer\tWav Filename",
        "What is the capital of France?\tParis\t1.wav",
        'Who wrote the famous book "Pride and Prejudice"?\tJane Austen\t2.wav',
        'Who wrote the famous poem "The Raven"? \tEdgar Allan Poe\t3.wav',
    ]
    (tmp_path / "llama_questions_300.tsv").write_bytes("\r\n".join(lines).encode())
    for k in (1, 2, 3):
        write_audio(tmp_path / f"{k}.wav", TONE, 16000)
    return tmp_path


def test_llama_questions(llama):
    found = load("llama_questions", llama)
    assert found.info.name == "Llama Questions"
    assert found.info.stand_in_for is None
    assert found.questions[1] == Question(
        id="2", question='Who wrote the famous book "Pride and Prejudice"?', answers=("Jane Austen",),
        audio=AudioRef(path=llama / "2.wav"),
    )  # fmt: skip
    assert found.questions[2].question.endswith('"The Raven"?')
    assert [q.id for q in load("llama_questions", llama, limit=2).questions] == ["1", "2"]


def test_missing_audio_is_named(llama):
    (llama / "3.wav").unlink()
    with pytest.raises(MostError, match="audio of question 3"):
        load("llama_questions", llama)
    assert len(load("llama_questions", llama, spoken=False).questions) == 3
    assert len(load("llama_questions", llama, limit=2).questions) == 2


TRIVIA = {
    "Data": [
        {
            "Answer": {
                "Aliases": ["Sunset Blvd", "West Sunset Boulevard", "Sunset Boulevard"],
                "MatchedWikiEntityName": "Sunset Boulevard",
                "NormalizedAliases": ["west sunset boulevard", "sunset blvd", "sunset boulevard"],
                "NormalizedMatchedWikiEntityName": "sunset boulevard",
                "NormalizedValue": "sunset boulevard",
                "Type": "WikipediaEntity",
                "Value": "Sunset Boulevard",
            },
            "EntityPages": [],
            "Question": "Which Lloyd Webber musical premiered in the US on 10th December 1993?",
            "QuestionId": "tc_33",
            "QuestionSource": "http://www.triviacountry.com/",
            "SearchResults": [],
        }
    ],
    "Domain": "Web",
    "VerifiedEval": False,
    "Version": 1.0,
}


def test_trivia_qa(tmp_path):
    path = tmp_path / "unfiltered-web-dev.json"
    path.write_text(json.dumps(TRIVIA))
    (question,) = load("trivia_qa", path, spoken=False).questions
    assert question.id == "tc_33"
    assert question.answers == ("Sunset Boulevard",)
    assert question.aliases[:2] == ("Sunset Blvd", "West Sunset Boulevard")
    assert "Sunset Boulevard" not in question.aliases
    assert question.audio is None
    with pytest.raises(MostError, match="build the spoken version"):
        load("trivia_qa", path)
    write_audio(tmp_path / "spoken" / "tc_33.wav", TONE, 16000)
    (question,) = load("trivia_qa", path, audio=str(tmp_path / "spoken")).questions
    assert question.audio == AudioRef(path=tmp_path / "spoken" / "tc_33.wav")


def test_a_trivia_qa_test_file_has_no_answers(tmp_path):
    row = {k: v for k, v in TRIVIA["Data"][0].items() if k != "Answer"}
    (tmp_path / "test.json").write_text(json.dumps({**TRIVIA, "Data": [row]}))
    with pytest.raises(MostError, match="no answer to tc_33"):
        load("trivia_qa", tmp_path / "test.json", spoken=False)


def test_web_questions_as_stanford_has_them(tmp_path):
    rows = [
        {
            "url": "http://www.freebase.com/view/en/justin_bieber",
            "targetValue": '(list (description "Jazmyn Bieber") (description "Jaxon Bieber"))',
            "utterance": "what is the name of justin bieber brother?",
        },
        {"url": "u", "targetValue": "(list (description 1881))", "utterance": "when was it founded?"},
        {
            "url": "u",
            "targetValue": r'(list (description Stay) (description "The \"A\" Team (film)"))',
            "utterance": "x?",
        },
    ]
    path = tmp_path / "webquestions.examples.test.json"
    path.write_text(json.dumps(rows))
    found = load("web_questions", path, spoken=False).questions
    assert [q.answers for q in found] == [
        ("Jazmyn Bieber", "Jaxon Bieber"), ("1881",), ("Stay", 'The "A" Team (film)')
    ]  # fmt: skip
    assert [q.id for q in found] == ["webq-0000", "webq-0001", "webq-0002"]


def test_web_questions_as_brmson_has_them(tmp_path):
    rows = [{"qId": "wqs000001", "answers": ["Lawyer"], "qText": "what did james k polk do before he was president?"}]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    (question,) = load("web_questions", tmp_path / "test.json", spoken=False).questions
    assert (question.id, question.answers) == ("wqs000001", ("Lawyer",))


@pytest.mark.parametrize(
    ("name", "head", "row", "title", "answers", "aliases"),
    [
        (
            "llama_questions", "Questions,Answer,audio_filename", '"Which, then?",Paris,7.wav', "Llama Questions",
            ("Paris",), (),
        ),
        (
            "trivia_qa", "question,answer_normalized_value,answer_normalized_aliases,audio_filename",
            '"Which, then?",sunset boulevard,"sunset blvd,sunset boulevard",7.wav', "TriviaQA", ("sunset boulevard",),
            ("sunset blvd",),
        ),
        (
            "web_questions", "question,answers,audio_filename", '"Which, then?",Rome; Milan,7.wav', "WebQuestions",
            ("Rome", "Milan"), (),
        ),
    ],
)  # fmt: skip
def test_open_audio_bench(tmp_path, name, head, row, title, answers, aliases):
    folder = tmp_path / name
    write_audio(folder / "audios" / "7.wav", TONE, 16000)
    (folder / f"{name}.csv").write_text(f"{head}\n{row}\n")
    found = load("open_audio_bench", folder)
    assert found.info.name == title
    assert found.questions == (
        Question(
            id="7", question="Which, then?", answers=answers, aliases=aliases,
            audio=AudioRef(path=folder / "audios" / "7.wav"),
        ),
    )  # fmt: skip


def test_built(tmp_path):
    write_info(tmp_path, SetInfo(name="spoken WebQuestions", source="built", stand_in_for="WebQuestions"))
    write_audio(tmp_path / "audio" / "q1.flac", TONE, 16000)
    row = {"id": "q1", "question": "who?", "audio": "audio/q1.flac", "voice": "af_heart", "answers": ["Ann"]}
    (tmp_path / "qa.jsonl").write_text(json.dumps(row) + "\n")
    found = load("built", tmp_path)
    assert found.info.stand_in_for == "WebQuestions"
    assert found.questions[0].audio == AudioRef(path=tmp_path / "audio" / "q1.flac")
    (tmp_path / "qa.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(MostError, match="twice"):
        load("built", tmp_path)
    (tmp_path / "qa.jsonl").write_text('{"id": "q1"}\n')
    with pytest.raises(MostError, match="line 1"):
        load("built", tmp_path)


@pytest.mark.parametrize(
    ("folder", "columns", "answers", "aliases"),
    [
        ("fixie-ai/llama-questions", {"question": ["who?"], "answer": ["Ann"]}, ("Ann",), ()),
        ("TwinkStart/llama-questions", {"Questions": ["who?"], "Answer": ["Ann"]}, ("Ann",), ()),
        ("fixie-ai/spoken-web-questions", {"question": ["who?"], "answers": [["Ann", "Bob"]]}, ("Ann", "Bob"), ()),
        (
            "fixie-ai/trivia_qa-audio",
            {"question": ["who?"], "answer": [{"value": "Ann", "aliases": ["Anna"], "normalized_aliases": ["ann"]}]},
            ("Ann",), ("Anna", "ann"),
        ),
    ],
)  # fmt: skip
def test_hub_columns(tmp_path, folder, columns, answers, aliases):
    datasets = pytest.importorskip("datasets")
    heard = "question_audio" if "trivia" in folder else "audio"
    table = datasets.Dataset.from_dict({**columns, heard: [{"bytes": wav_bytes(), "path": "1.wav"}]})
    table = table.cast_column(heard, datasets.Audio(sampling_rate=16000))
    (tmp_path / folder).mkdir(parents=True)
    table.to_parquet(tmp_path / folder / "test-00000-of-00001.parquet")
    found = load("hub", tmp_path / folder)
    (question,) = found.questions
    assert (question.id, question.question, question.answers, question.aliases) == (
        "test-00000",
        "who?",
        answers,
        aliases,
    )
    assert question.audio == wav_bytes()
    assert found.info.name in ("Llama Questions", "TriviaQA", "WebQuestions")
    assert found.info.source.endswith("split test")
    with pytest.raises(MostError, match="no such column"):
        load("hub", tmp_path / folder, answers="nonsense")
    with pytest.raises(MostError, match="test"):
        load("hub", tmp_path / folder, split="tset")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lama_questions", {}, "did you mean 'llama_questions'"),
        ("llama_questions", {"audio": "x"}, "takes no options"),
        ("trivia_qa", {"audoi": "x"}, "did you mean 'audio'"),
        ("llama_questions", {}, "llama_questions_300.tsv"),
        ("built", {}, "build the set first"),
        ("open_audio_bench", {}, "must end in one of"),
        ("trivia_qa", {}, "no such file"),
    ],
)
def test_what_a_user_gets_wrong(tmp_path, kind, options, message):
    path = tmp_path / "none.json" if kind == "trivia_qa" else tmp_path
    with pytest.raises(MostError, match=message):
        load(kind, path, **options)


@pytest.mark.parametrize("content", ["[]", "{}", "not json", '[{"text": "x"}]'])
def test_json_of_another_form(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    for kind in ("trivia_qa", "web_questions"):
        with pytest.raises(MostError):
            load(kind, tmp_path / "x.json", spoken=False)


def test_a_question_without_answer_is_refused():
    with pytest.raises(MostError, match="no answer"):
        Question(id="1", question="who?", answers=("",))
