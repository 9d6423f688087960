"""`/v1/chat/completions` through the official client: text and speech, whole and streamed, over several turns."""

from __future__ import annotations

import base64
import io

import numpy as np
import openai
import pytest
import soundfile

from most.generate.chat import Chat
from most.serve.audio_in import decode

RATE = 16000


@pytest.fixture
def clip():
    wav = 0.1 * np.random.default_rng(2).normal(size=8000)
    return (np.round(wav.clip(-1, 1) * 32767) / 32768).astype(np.float32)


def heard(wav: np.ndarray) -> dict[str, object]:
    out = io.BytesIO()
    soundfile.write(out, wav, RATE, format="WAV")
    data = base64.b64encode(out.getvalue()).decode()
    return {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]}


ASKED = [{"role": "user", "content": "one two"}]
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "wav"}}


def test_a_text_is_answered_as_by_the_engine(client, engine):
    made = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=9)
    choice = made.choices[0]
    assert [choice.message.content] == engine.write([ASKED], max_new_tokens=9)
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert made.usage.completion_tokens <= 9
    assert made.usage.prompt_tokens == len(engine.to_write(ASKED, 9).prompt)
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


def test_turns_before_it_and_speech_among_them_count(client, engine, clip):
    asked = [{"role": "system", "content": "three"}, heard(clip), {"role": "assistant", "content": "four"}, *ASKED]
    made = client.chat.completions.create(model="tiny", messages=asked, max_tokens=9)
    own = [
        {"role": "system", "content": "three"}, {"role": "user", "content": [{"type": "audio", "audio": clip}]},
        {"role": "assistant", "content": "four"}, *ASKED,
    ]  # fmt: skip
    assert [made.choices[0].message.content] == engine.write([own], max_new_tokens=9)
    assert made.usage.prompt_tokens == len(engine.to_write(own, 9).prompt)


def test_an_answer_is_said_and_remembered(client, engine, clip, speech):
    chat = Chat(engine, settings=speech, max_new_tokens=9)
    expected = chat.ask(clip, voice=True)
    made = client.chat.completions.create(model="tiny", messages=[heard(clip)], max_tokens=9, **SPOKEN)
    audio = made.choices[0].message.audio
    assert audio.transcript == expected.text
    wav = decode(base64.b64decode(audio.data), RATE, 10)
    assert len(wav) == len(expected.speech.waveform)
    assert made.usage.completion_tokens_details.audio_tokens == len(expected.speech.units)
    again = [heard(clip), {"role": "assistant", "audio": {"id": audio.id}}, *ASKED]
    by_id = client.chat.completions.create(model="tiny", messages=again, max_tokens=9)
    again[1] = {"role": "assistant", "content": expected.text}
    by_text = client.chat.completions.create(model="tiny", messages=again, max_tokens=9)
    assert by_id.choices[0].message.content == by_text.choices[0].message.content
    assert by_id.usage == by_text.usage


def test_streams_hold_what_the_whole_answer_holds(client):
    whole = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=9)
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=ASKED, max_tokens=9, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 4

    spoken = {**SPOKEN, "audio": {"voice": "default", "format": "pcm16"}}
    whole = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=9, **spoken)
    deltas = [
        c.choices[0].delta.audio.model_dump(exclude_unset=True)
        for c in client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=9, stream=True, **spoken)
        if getattr(c.choices[0].delta, "audio", None)
    ]
    audio = whole.choices[0].message.audio
    assert b"".join(base64.b64decode(d.get("data", "")) for d in deltas) == base64.b64decode(audio.data)
    assert "".join(d.get("transcript", "") for d in deltas) == audio.transcript
    assert len({d["id"] for d in deltas}) == 1
    assert deltas[-1]["expires_at"] > 0


def test_the_parts_of_a_text_stay_apart(client, engine):
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    made = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}], max_tokens=9)
    assert [made.choices[0].message.content] == engine.write([ASKED], max_new_tokens=9)


def test_the_audio_of_all_messages_is_bounded(engine, running, clip):
    """A small file may decode to much; so may many of them."""
    with running(engine, max_seconds=1.2) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        one = heard(clip)["content"]
        ask = lambda n: client.chat.completions.create(  # noqa: E731
            model="tiny", messages=[{"role": "user", "content": one * n}], max_tokens=2
        )
        assert ask(2).choices
        with pytest.raises(openai.APIStatusError, match=r"more than the 1\.2 s") as caught:
            ask(3)
        assert caught.value.status_code == 413


BAD_AUDIO = {"type": "input_audio", "input_audio": {"data": "%%%", "format": "wav"}}
NO_AUDIO = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"no").decode(), "format": "wav"}}


@pytest.mark.parametrize(
    ("messages", "changes", "status", "message"),
    [
        ([], {}, 400, "messages"),
        ([{"role": "user", "content": ""}], {}, 400, "empty"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], {}, 400, "input_audio"),
        ([{"role": "user", "content": [BAD_AUDIO]}], {}, 400, "base64"),
        ([{"role": "user", "content": [NO_AUDIO]}], {}, 400, "cannot be decoded"),
        ([{"role": "user", "content": "<|audio_begin|>"}], {}, 400, "audio_begin"),
        ([*ASKED, {"role": "assistant", "content": "x"}], {}, 400, "end with the user"),
        ([*ASKED, {"role": "system", "content": "x"}, *ASKED], {}, 400, "stands first"),
        ([{"role": "assistant", "audio": {"id": "audio_0"}}, *ASKED], {}, 400, "not known here"),
        ([{"role": "assistant", "content": [NO_AUDIO]}, *ASKED], {}, 400, "only the user"),
        (ASKED, {"model": "gpt-4o"}, 404, "use 'tiny'"),
        (ASKED, {"max_tokens": 0}, 400, "max_tokens"),
        (ASKED, {"max_tokens": 10**9}, 400, "must lie in 1..40"),
        (ASKED * 1001, {}, 400, "at most 1000"),
        ([{"role": "user", "content": "one " * 300_000}], {}, 413, "characters"),
        (ASKED, {"n": 2}, 400, "n:"),
        (ASKED, {"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
        (ASKED, {"modalities": ["audio"]}, 400, "voice and format"),
        (ASKED, {**SPOKEN, "stream": True}, 400, "pcm16"),
        (ASKED, {**SPOKEN, "audio": {"voice": "alloy", "format": "wav"}}, 400, "no such voice"),
        ([{"role": "user", "content": "one two three " * 400}], {}, 400, "say less at once"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(client, messages, changes, status, message):
    with pytest.raises(openai.APIStatusError, match=message) as caught:
        client.chat.completions.create(**{"model": "tiny", "messages": messages, **changes})
    assert caught.value.status_code == status
