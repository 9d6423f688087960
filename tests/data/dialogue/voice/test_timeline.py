from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data.dialogue.voice.timeline import MARGIN_SECONDS, BackChannel, Spoken, lay_out

CLOSE = 1e-9


@st.composite
def conversations(draw):
    n = draw(st.integers(1, 8))
    chunk = st.floats(0.1, 8)
    turns = [
        Spoken(
            role=("user", "assistant")[k % 2],
            chunk_seconds=tuple(draw(st.lists(chunk, min_size=1, max_size=3))),
            interrupted=k % 2 == 1 and k < n - 1 and draw(st.booleans()),
            pause_seconds=draw(st.floats(0, 0.5)),
        )
        for k in range(n)
    ]
    gaps = [draw(st.floats(0, 1.5)) for _ in turns]
    hosts = draw(st.sets(st.integers(0, n - 1)))
    signs = [
        BackChannel(turn=k, at=draw(st.floats(0.3, 0.7)), seconds=draw(st.floats(0.1, 1.0))) for k in sorted(hosts)
    ]
    return turns, gaps, signs


@settings(max_examples=200, deadline=None)
@given(conversations(), st.floats(0, 0.5))
def test_invariants(conversation, overlap):
    turns, gaps, signs = conversation
    line = lay_out(turns, gaps, signs, overlap_seconds=overlap)

    assert [p.index for p in line.turns] == list(range(len(turns)))
    for turn, placed in zip(turns, line.turns, strict=True):
        assert placed.end - placed.start == pytest.approx(turn.seconds)
        assert placed.chunks[0][0] == placed.start
        assert all(b[0] >= a[1] for a, b in itertools.pairwise(placed.chunks))
    for k, (a, b) in enumerate(itertools.pairwise(line.turns)):
        if turns[k].interrupted:
            assert 0 <= a.end - b.start <= overlap + CLOSE
            assert a.overlapped_from == b.start > a.start
        else:
            assert b.start == pytest.approx(a.end + gaps[k + 1])
            assert a.overlapped_from is None

    # No channel ever speaks twice at once.
    for role in ("user", "assistant"):
        spans = sorted((p.start, p.end) for p in (*line.turns, *line.back_channels) if p.role == role)
        assert all(b[0] >= a[1] - CLOSE for a, b in itertools.pairwise(spans))

    # A back-channel lies within 30-70 % of a turn of the other, and well before its end.
    for placed in line.back_channels:
        host = line.turns[signs[placed.index].turn]
        assert placed.role != host.role
        assert 0.3 - CLOSE <= (placed.start - host.start) / (host.end - host.start) <= 0.7 + CLOSE
        assert placed.end <= host.end - MARGIN_SECONDS + CLOSE

    # The overlaps named are all the time in which both channels speak.
    both = sum(
        max(0.0, min(a.end, b.end) - max(a.start, b.start))
        for a, b in itertools.product((*line.turns, *line.back_channels), repeat=2)
        if a.role == "user" and b.role == "assistant"
    )
    assert sum(o.end - o.start for o in line.overlaps) == pytest.approx(both, abs=1e-6)
    assert line.seconds == max(p.end for p in line.turns)


def test_a_barge_in_starts_a_tenth_of_a_second_before_the_other_stops():
    turns = [
        Spoken(role="user", chunk_seconds=(1.0,)),
        Spoken(role="assistant", chunk_seconds=(2.0, 1.0), pause_seconds=0.2, interrupted=True),
        Spoken(role="user", chunk_seconds=(1.5,)),
    ]
    line = lay_out(turns, [0.5, 0.3, 9.0])
    user, cut, breaks_in = line.turns
    assert (user.start, user.end, cut.start, cut.end) == (0.5, 1.5, 1.8, 5.0)
    assert breaks_in.start == cut.overlapped_from == pytest.approx(4.9)
    (overlap,) = line.overlaps
    assert (overlap.kind, overlap.turn, overlap.end) == ("barge-in", 1, 5.0)


def test_a_back_channel_without_room_is_left_out():
    turns = [Spoken(role="user", chunk_seconds=(1.0,))]
    assert lay_out(turns, [0.0], [BackChannel(turn=0, at=0.5, seconds=0.45)]).back_channels == ()
    assert len(lay_out(turns, [0.0], [BackChannel(turn=0, at=0.5, seconds=0.35)]).back_channels) == 1
