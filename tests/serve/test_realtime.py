"""`/v1/realtime` through the official client: turns found by the server, answers streamed, broken into, cut."""

from __future__ import annotations

import base64
import time

import numpy as np
import pytest
import soxr
from openai import OpenAI
from websockets.exceptions import ConnectionClosed

from most.generate import batch
from most.generate.chat import heard_text
from most.generate.engine import SpeakSettings
from most.serve.realtime.session import RealtimeSession

RATE, WIRE = 16000, 24000
LONG = SpeakSettings(max_seconds=60.0, temperature=2.0, top_p=1.0)


def client_of(url: str, key: str = "none") -> OpenAI:
    socket = f"{url.replace('http', 'ws')}/v1"
    return OpenAI(base_url=f"{url}/v1", websocket_base_url=socket, api_key=key, max_retries=0)


@pytest.fixture
def talk(address):
    with client_of(address).realtime.connect(model="tiny") as connection:
        assert connection.recv().type == "session.created"
        yield connection


def pcm(wav: np.ndarray, rate: int = WIRE) -> str:
    wav = soxr.resample(wav, RATE, rate)
    return base64.b64encode((wav.clip(-1, 1) * 32767).astype("<i2").tobytes()).decode()


def say(connection, wav: np.ndarray, seconds: float = 0.1) -> None:
    """Sound in chunks, as a microphone gives it."""
    step = round(seconds * RATE)
    for i in range(0, len(wav), step):
        connection.input_audio_buffer.append(audio=pcm(wav[i : i + step]))


def until(connection, kind: str) -> list:
    """Events up to the first of a kind."""
    events = []
    while not events or events[-1].type != kind:
        events.append(connection.recv())
        assert events[-1].type != "error" or kind == "error", events[-1]
    return events


def of(events, kind: str) -> list:
    return [e for e in events if e.type == kind]


def text_only(connection, **more) -> None:
    connection.session.update(session={"type": "realtime", "output_modalities": ["text"], **more})
    until(connection, "session.updated")


def ask(connection, text: str) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    connection.conversation.item.create(item=item)
    until(connection, "conversation.item.done")


def test_a_spoken_turn_is_found_heard_and_answered_aloud(talk, engine, spoken_digits):
    transcription = {"input": {"transcription": {"model": "tiny"}}}
    talk.session.update(session={"type": "realtime", "audio": transcription})
    assert until(talk, "session.updated")[-1].session.audio.output.voice == "default"
    silence = np.zeros(RATE, np.float32)
    say(talk, np.concatenate([silence, spoken_digits, silence]))
    events = until(talk, "response.done")
    if not of(events, "conversation.item.input_audio_transcription.completed"):
        events += until(talk, "conversation.item.input_audio_transcription.completed")
    order = [e.type for e in events if not e.type.endswith("delta")]
    wanted = [
        "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
        "conversation.item.added", "conversation.item.done", "response.created", "response.output_item.added",
        "response.content_part.added", "response.output_audio.done", "response.output_audio_transcript.done",
        "response.content_part.done", "response.output_item.done", "response.done",
    ]  # fmt: skip
    assert [t for t in dict.fromkeys(order) if t in wanted] == wanted
    started, stopped = (of(events, f"input_audio_buffer.speech_{k}")[0] for k in ("started", "stopped"))
    assert 600 < started.audio_start_ms < 1100
    assert stopped.audio_end_ms > started.audio_start_ms + 500
    done = of(events, "response.done")[0].response
    assert done.status in ("completed", "incomplete")
    sound = b"".join(base64.b64decode(e.delta) for e in of(events, "response.output_audio.delta"))
    units = done.usage.output_token_details.audio_tokens
    assert len(sound) / 2 / WIRE == pytest.approx(units / engine.codec.unit_rate_hz, abs=0.01)
    spoken = "".join(e.delta for e in of(events, "response.output_audio_transcript.delta"))
    assert spoken == done.output[0].content[0].transcript
    heard = of(events, "conversation.item.input_audio_transcription.completed")[0]
    assert heard.item_id == started.item_id
    deltas = of(events, "conversation.item.input_audio_transcription.delta")
    assert "".join(e.delta for e in deltas) == heard.transcript


def test_a_written_talk_has_a_history(talk, engine):
    text_only(talk)
    turns = []
    for asked in ("one two", "three"):
        turns.append({"role": "user", "content": asked})
        ask(talk, asked)
        talk.response.create(response={"max_output_tokens": 9})
        events = until(talk, "response.done")
        text = events[-1].response.output[0].content[0].text
        assert [text] == engine.write([turns], max_new_tokens=9)
        assert "".join(e.delta for e in of(events, "response.output_text.delta")) == text
        turns.append({"role": "assistant", "content": text})
    assert turns[1]["content"] != turns[3]["content"]


def test_sound_may_be_committed_by_hand(talk, engine, spoken_digits):
    text_only(talk, audio={"input": {"turn_detection": None, "format": {"type": "audio/pcm", "rate": RATE}}})
    raw = base64.b64encode((spoken_digits * 32767).astype("<i2").tobytes()).decode()
    talk.input_audio_buffer.append(audio=raw)
    talk.input_audio_buffer.clear()
    until(talk, "input_audio_buffer.cleared")
    talk.input_audio_buffer.append(audio=raw)
    talk.input_audio_buffer.commit()
    committed = until(talk, "conversation.item.done")
    assert of(committed, "input_audio_buffer.committed")[0].item_id == committed[-1].item.id
    talk.response.create(response={"max_output_tokens": 9})
    made = until(talk, "response.done")[-1].response.output[0].content[0].text
    wav = ((spoken_digits * 32767).astype("<i2") / 32768).astype(np.float32)
    asked = [{"role": "user", "content": [{"type": "audio", "audio": wav}]}]
    assert [made] == engine.write([asked], max_new_tokens=9)


def test_speaking_breaks_in_at_once_and_cuts_the_history(slow, running, spoken_digits):
    """The answer goes on for a minute; the user speaks after a second of it, and that is what was heard."""
    with running(slow, speech=LONG) as url, client_of(url).realtime.connect(model="tiny") as talk:
        talk.recv()
        talk.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": {
            "type": "server_vad", "create_response": False, "interrupt_response": True}}}})  # fmt: skip
        until(talk, "session.updated")
        ask(talk, "one two three")
        talk.response.create()
        until(talk, "response.output_audio.delta")
        time.sleep(0.5)
        say(talk, spoken_digits)
        events = until(talk, "conversation.item.truncated")
        kinds = [e.type for e in events]
        assert kinds.index("input_audio_buffer.speech_started") < kinds.index("response.done")
        done = of(events, "response.done")[0].response
        assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
        after = kinds.index("input_audio_buffer.speech_started")
        assert not any(k == "response.output_audio.delta" for k in kinds[after:]), "not a sample more"
        whole = done.output[0].content[0].transcript
        talk.conversation.item.retrieve(item_id=done.output[0].id)
        kept = until(talk, "conversation.item.retrieved")[-1].item
        assert kept.status == "incomplete"
        assert whole.startswith(kept.content[0].transcript)
        assert 0 < events[-1].audio_end_ms < 5000


def test_a_client_says_how_much_was_heard(talk, engine):
    ask(talk, "one two three")
    talk.response.create()
    events = until(talk, "response.done")
    item = events[-1].response.output[0]
    seconds = events[-1].response.usage.output_token_details.audio_tokens / engine.codec.unit_rate_hz
    talk.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=round(400 * seconds))
    until(talk, "conversation.item.truncated")
    talk.conversation.item.retrieve(item_id=item.id)
    left = until(talk, "conversation.item.retrieved")[-1].item.content[0].transcript
    assert left == heard_text(item.content[0].transcript, round(400 * seconds) / 1000 / seconds)
    talk.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=10**6)
    assert "audio_end_ms" in until(talk, "error")[-1].error.message


def test_cancelling_stops_an_answer(slow, running):
    with running(slow, speech=LONG) as url, client_of(url).realtime.connect(model="tiny") as talk:
        talk.recv()
        ask(talk, "one")
        talk.response.create()
        until(talk, "response.output_audio.delta")
        talk.response.create()
        assert until(talk, "error")[-1].error.code == "conversation_already_has_active_response"
        talk.response.cancel()
        assert until(talk, "response.done")[-1].response.status == "cancelled"
        talk.response.cancel()
        assert until(talk, "error")[-1].error.code == "response_cancel_not_active"
        talk.response.create(response={"conversation": "none"})
        assert "conversation" in until(talk, "error")[-1].error.message
        ask(talk, "two")
        for _ in range(5):  # at once, before anything is computed
            talk.response.create()
            talk.response.cancel()
            assert until(talk, "response.done")[-1].response.status == "cancelled"


def test_an_answer_that_nobody_heard_is_no_turn(engine, running, monkeypatch):
    """The user goes on before the first sound: what was written of the answer is not in the history."""
    real = batch.Batch._chosen

    def slow(self, rows, scores):
        time.sleep(0.1)
        return real(self, rows, scores)

    monkeypatch.setattr(batch.Batch, "_chosen", slow)
    with running(engine) as url, client_of(url).realtime.connect(model="tiny") as talk:
        talk.recv()
        ask(talk, "one two three")
        talk.response.create()
        until(talk, "response.output_audio_transcript.delta")
        talk.response.cancel()
        events = until(talk, "conversation.item.truncated")
        assert not of(events, "response.output_audio.delta")
        assert events[-1].audio_end_ms == 0
        talk.conversation.item.retrieve(item_id=events[-1].item_id)
        assert until(talk, "conversation.item.retrieved")[-1].item.content[0].transcript == ""


def test_long_speech_is_several_items_and_one_answer(talk, spoken_digits, monkeypatch):
    monkeypatch.setattr(RealtimeSession, "_longest", RATE // 2)
    text_only(talk)
    say(talk, np.concatenate([np.zeros(RATE, np.float32), spoken_digits, np.zeros(RATE, np.float32)]), seconds=0.3)
    events = until(talk, "response.done")
    taken = [e.item_id for e in of(events, "input_audio_buffer.committed")]
    assert len(taken) == len(set(taken)) > 1
    assert set(taken) <= {e.item_id for e in of(events, "input_audio_buffer.speech_started")}
    assert len(of(events, "response.created")) == 1
    starts = [e.audio_start_ms for e in of(events, "input_audio_buffer.speech_started")]
    ends = [e.audio_end_ms for e in of(events, "input_audio_buffer.speech_stopped")]
    assert starts[1:] == ends[:-1], "nothing is lost between them"
    assert max(b - a for a, b in zip(starts, ends, strict=True)) == 500


def test_what_the_model_cannot_hear_does_not_end_a_talk(talk):
    """A muted microphone gives zeros; kept, they would make every later answer fail."""
    text_only(talk, audio={"input": {"turn_detection": None}})
    talk.input_audio_buffer.append(audio=pcm(np.zeros(RATE, np.float32)))
    talk.input_audio_buffer.commit()
    assert "silent" in until(talk, "error")[-1].error.message
    item = {"type": "input_audio", "audio": pcm(np.zeros(RATE, np.float32))}
    talk.conversation.item.create(item={"type": "message", "role": "user", "content": [item]})
    assert "silent" in until(talk, "error")[-1].error.message
    ask(talk, "one")
    talk.response.create(response={"max_output_tokens": 3})
    assert until(talk, "response.done")[-1].response.status in ("completed", "incomplete")


def test_items_are_put_read_and_deleted(talk):
    ask(talk, "one")
    item = {"type": "message", "role": "system", "id": "first", "content": [{"type": "input_text", "text": "two"}]}
    talk.conversation.item.create(item=item, previous_item_id="root")
    assert until(talk, "conversation.item.done")[-1].item.id == "first"
    talk.conversation.item.create(item=item)
    assert "is taken" in until(talk, "error")[-1].error.message
    talk.conversation.item.delete(item_id="first")
    assert until(talk, "conversation.item.deleted")[-1].item_id == "first"
    talk.conversation.item.retrieve(item_id="first")
    assert "no such item" in until(talk, "error")[-1].error.message


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"type": "nonsense"}, "no event"),
        ({"no": "type"}, "type"),
        ({"type": "input_audio_buffer.append"}, "missing"),
        ({"type": "input_audio_buffer.append", "audio": "%%"}, "base64"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "16-bit"),
        ({"type": "input_audio_buffer.commit"}, "100 ms"),
        ({"type": "response.create"}, "nothing that is not answered"),
        ({"type": "response.create", "response": {"tools": []}}, "tools"),
        ({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["video"]}}, "modalities"),
        ({"type": "session.update", "session": {"type": "realtime", "tools": [{"type": "function"}]}}, "tools"),
        ({"type": "session.update", "session": {"audio": {"output": {"voice": "alloy"}}}}, "no such voice"),
        ({"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}},
         "server_vad"),
        ({"type": "session.update", "session": {"audio": {"input": {"turn_detection": {
            "type": "server_vad", "threshold": 7}}}}}, "threshold"),
        ({"type": "session.update", "session": {"instructions": "x" * 5000}}, "5000 characters"),
        ({"type": "session.update", "session": {"max_output_tokens": 10**6}}, "max_tokens"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA" * 1_000_000}, "in pieces"),
        ({"type": "response.create", "response": ["audio"]}, "wrong kind"),
        ({"type": "conversation.item.create", "item": "x"}, "wrong kind"),
        ({"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": float("inf")}, "wrong kind"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "x" * 5000}]}}, "5000 characters"),
        ({"type": "conversation.item.create", "item": {"type": "function_call"}}, "only messages"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
            {"type": "input_image"}]}}, "input_image"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_event_is_said_and_the_talk_goes_on(talk, event, message):
    talk.send({**event, "event_id": "mine"})
    error = until(talk, "error")[-1].error
    assert message in error.message
    assert error.event_id == "mine"
    ask(talk, "one")


def test_who_may_talk_and_how_many(engine, running):
    with running(engine, api_key="k", max_sessions=1, idle_seconds=3.0) as url:
        with client_of(url, "k").realtime.connect(model="tiny") as talk:
            assert talk.recv().type == "session.created"
            with client_of(url, "k").realtime.connect(model="tiny") as second:
                assert "too many talks" in second.recv().error.message
            with pytest.raises(ConnectionClosed, match="nothing was sent"):
                talk.recv()
        with client_of(url, "k").realtime.connect(model="gpt-4o") as talk:
            assert "use 'tiny'" in talk.recv().error.message
        with pytest.raises(Exception, match="403"):
            client_of(url, "wrong").realtime.connect(model="tiny").enter()
