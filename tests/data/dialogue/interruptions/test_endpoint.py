"""The language model's writer over a real server and the real `openai` client: good answers, bad ones, and trouble."""

import json

import numpy as np
import pytest

from most.data.dialogue.collected import Rejection
from most.data.dialogue.interruptions.base import make_writer
from most.data.dialogue.interruptions.validate import faults
from most.errors import MostError

pytest.importorskip("openai")


@pytest.fixture
def ask(chat_server, make):
    """Run the writer over one dialogue against a script: its result and the server."""

    def run(script, dialogue=None, **settings):
        with chat_server.ChatServer(script) as server:
            writer = make_writer("endpoint", base_url=server.url, model="m", timeout_seconds=20, **settings)
            return writer.write(dialogue or make("d1"), np.random.default_rng(0)), server

    return run


@pytest.fixture
def answers(chat_server):
    """A script that judges `yes` and then writes these answers one after another, the last one again."""

    def script_of(*written, judged="yes"):
        def script(what, shown, n):
            content = judged if what == "judge" else written[min(n, len(written) - 1)]
            if not isinstance(content, str):
                content = json.dumps({**chat_server.good_interruption(shown), **content})
            return 200, chat_server.completion(content), {}

        return script

    return script_of


def test_a_suitable_dialogue_is_judged_then_interrupted(ask, chat_server, make, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    before = make("d1")
    after, server = ask(chat_server.suitable, api_key_env="MY_KEY", temperature=0.3)
    assert faults(before, after) == []
    assert after.turns[1].said == "The old lighthouse on the northern coast was built by two"
    assert after.turns[3].text == (
        "The ones I just named. As I was saying, brothers and it still guides ships every night."
    )
    assert after.meta["interruption"] == {"turn": 1, "writer": "endpoint", "model": "m"}
    (judge, _, body), (write, _, _) = server.requests
    assert (judge, write) == ("judge", "write")
    assert (body["path"], body["key"]) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("m", 0.3)


@pytest.mark.parametrize("judged", ["no", "No.", "<think>It has code.</think>\nNo"])
def test_unsuitable(ask, answers, judged):
    result, server = ask(answers({}, judged=judged))
    assert result.reasons == ("judged unsuitable",)
    assert [what for what, _, _ in server.requests] == ["judge"]


def test_a_judge_that_rambles(ask, answers):
    assert ask(answers({}, judged="It depends."))[0].reasons == ("the judge said neither yes nor no",)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("{broken", "not JSON"),
        ("Sure! Here you go.", "not JSON"),
        ('{"turn": 2}', "not the keys asked for"),
        ("[]", "not the keys asked for"),
        ({"note": "x"}, "not the keys asked for"),
        ({"turn": "2"}, "a value of the wrong kind"),
        ({"turn": True}, "a value of the wrong kind"),
        ({"turn": 1}, "no turn that may be interrupted"),
        ({"turn": 99}, "no turn that may be interrupted"),
        ({"said": "The new lighthouse on the coast"}, "what was said is not the beginning of the turn"),
        ({"said": "The old lighthouse on the northern coast was built by two brot"},
         "what was said is not the beginning of the turn"),
        ({"said": "The old"}, "cut too early or too late"),
        ({"interruption": " "}, "an empty interruption or answer"),
        ({"interruption": "word " * 30}, "the interruption is too long"),
        ({"answer": "Here is the rewritten dialogue."}, "talks about the task"),
        ({"answer": "As an AI language model, I was built by brothers."}, "talks about the task"),
        ({"bridge": "word " * 50}, "the answer is not brief"),
    ],
)  # fmt: skip
def test_faulty_answers_are_asked_for_again_then_counted(ask, answers, written, reason):
    result, server = ask(answers(written))
    assert isinstance(result, Rejection)
    assert result.reasons == (reason,)
    assert [what for what, _, _ in server.requests] == ["judge", "write", "write", "write"]
    seeds = [body["seed"] for _, _, body in server.requests]
    assert len(set(seeds)) == 4


def test_a_faulty_answer_then_a_good_one(ask, answers, make):
    after, server = ask(answers("{broken", {}))
    assert faults(make("d1"), after) == []
    assert len(server.requests) == 3


@pytest.mark.parametrize("wrap", ["```json\n%s\n```", "```\n%s\n```", "<think>Hm, {}.</think>\n%s"])
def test_fences_and_thoughts_are_let_pass(ask, chat_server, make, wrap):
    def script(what, shown, n):
        written = wrap % json.dumps(chat_server.good_interruption(shown))
        return 200, chat_server.completion("Yes." if what == "judge" else written), {}

    assert faults(make("d1"), ask(script)[0]) == []


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_trouble_is_waited_out(ask, chat_server, make, status):
    def script(what, shown, n):
        if n < 2:
            return status, {"error": {"message": "busy"}}, {"retry-after-ms": "5"}
        return chat_server.suitable(what, shown, n)

    after, server = ask(script)
    assert faults(make("d1"), after) == []
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [429, 500])
def test_lasting_trouble_stops_the_run(ask, status):
    with pytest.raises(MostError, match=f"answers {status}"):
        ask(lambda *_: (status, {"error": {"message": "busy"}}, {"retry-after-ms": "5"}), retries=2)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_would_fail_every_time_stops_at_once(ask, chat_server, status):
    asked = []

    def script(what, shown, n):
        asked.append(what)
        return status, {"error": {"message": "no such model"}}, {}

    with pytest.raises(MostError, match="no such model"):
        ask(script)
    assert asked == ["judge"]


def test_one_prompt_turned_down_is_left_out(ask):
    result, _ = ask(lambda *_: (400, {"error": {"message": "content filter"}}, {}))
    assert result.reasons == ("endpoint: 400",)


def test_every_prompt_turned_down_stops_the_run(chat_server, make):
    with chat_server.ChatServer(lambda *_: (400, {"error": {"message": "max_tokens is unknown"}}, {})) as server:
        writer = make_writer("endpoint", base_url=server.url, model="m")
        for k in range(9):
            assert writer.write(make(f"d{k}"), np.random.default_rng(0)).reasons == ("endpoint: 400",)
        with pytest.raises(MostError, match="max_tokens is unknown"):
            writer.write(make("d9"), np.random.default_rng(0))
        assert len(server.requests) == 10


@pytest.mark.parametrize("empty", [None, ""])
def test_no_answer(ask, chat_server, empty):
    assert ask(lambda *_: (200, chat_server.completion(empty), {}))[0].reasons == ("endpoint: no answer",)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"choices": [', "application/json"), (b"<html>hello</html>", "text/html"), (b"[1]", "application/json"),
     (b'{"object": "error"}', "application/json")],
)  # fmt: skip
def test_a_body_that_is_no_completion_stops_the_run(ask, body, kind):
    with pytest.raises(MostError, match="no chat completion"):
        ask(lambda *_: (200, body, {"Content-Type": kind}), retries=0)


def test_nobody_listens():
    writer = make_writer("endpoint", base_url="http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(MostError, match="could not be asked"):
        writer.chat.reply([{"role": "user", "content": "x"}], max_tokens=1, seed=0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "m"}, "base_url"),
        ({"base_url": "http://x"}, "endpoint.model"),
        ({"base_url": "localhost:80", "model": "m"}, "must begin with http"),
        ({"base_url": "http://x", "model": "m", "parallel": 0}, "parallel >= 1"),
        ({"base_url": "http://x", "model": "m", "temperature": 3.0}, "temperature in 0..2"),
    ],
)
def test_bad_settings(settings, says):
    with pytest.raises(MostError, match=says):
        make_writer("endpoint", **settings)


def test_dialogues_that_cannot_be_interrupted_cost_nothing(ask, chat_server, make):
    result, server = ask(chat_server.suitable, make("d", "Hi.", "Hello."))
    assert result.reasons == ("no assistant's turn of 12 words",)
    assert server.requests == []
