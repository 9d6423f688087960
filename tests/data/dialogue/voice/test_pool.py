from __future__ import annotations

from collections import Counter

import pytest

from most.data.dialogue.voice.pool import Voice, VoicePool
from most.errors import MostError


def voice(name: str, *roles: str) -> Voice:
    return Voice(synthesizer=0, kind="k", name=name, roles=roles or ("user", "assistant"))


def test_two_different_voices_by_seed_and_id_alone():
    pool = VoicePool([voice("a"), voice("b"), voice("c", "user"), voice("d", "assistant")])
    casts = {f"d{k}": pool.cast(f"d{k}", seed=1) for k in range(300)}
    for id, cast in casts.items():
        assert cast["user"].label != cast["assistant"].label
        assert "user" in cast["user"].roles
        assert "assistant" in cast["assistant"].roles
        assert pool.cast(id, seed=1) == cast
    assert any(pool.cast(id, seed=2) != cast for id, cast in casts.items())
    seen = Counter(c["user"].name for c in casts.values())
    assert set(seen) == {"a", "b", "c"}
    assert min(seen.values()) > 60


def test_the_only_assistant_is_never_taken_as_user():
    pool = VoicePool([voice("a"), voice("b", "user"), voice("c", "user")])
    assert {pool.cast(f"d{k}", 0)["assistant"].name for k in range(50)} == {"a"}


def test_where_the_user_alone_is_heard_nobody_else_is_needed():
    pool = VoicePool([voice("a", "user"), voice("b", "user")], ["user"])
    assert {pool.cast(f"d{k}", 0)["user"].name for k in range(50)} == {"a", "b"}
    assert list(pool.cast("d", 0)) == ["user"]
    with pytest.raises(MostError, match="speak the user"):
        VoicePool([voice("a", "assistant")], ["user"])


def test_pools_that_cannot_work_are_refused():
    for voices, text in (
        ([voice("a")], "name two"),
        ([voice("a", "user"), voice("b", "user")], "speak the assistant"),
        ([voice("a"), voice("a")], "twice"),
    ):
        with pytest.raises(MostError, match=text):
            VoicePool(voices)
