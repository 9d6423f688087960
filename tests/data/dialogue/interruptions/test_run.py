"""A whole file: order kept, several at once, and stopped anywhere it goes on without asking anything twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from most.data.dialogue.collected import Rejection
from most.data.dialogue.dialogue import read_dialogues, write_dialogues
from most.data.dialogue.interruptions.base import make_writer
from most.data.dialogue.interruptions.rules import RuleWriter
from most.data.dialogue.interruptions.run import interrupt_file
from most.errors import MostError

N = 12


@pytest.fixture
def source(tmp_path, shipped, make):
    path = tmp_path / "d.jsonl"
    write_dialogues(path, [*shipped[: N - 1], make("short", "Hi.", "Hello.")])
    return path


class Counting(RuleWriter):
    """The rules, and who was asked for; stops before a dialogue of this number."""

    def __init__(self, stop_at=None, error=KeyboardInterrupt, parallel=1):
        super().__init__()
        self.asked, self.stop_at, self.error, self.parallel = [], stop_at, error, parallel
        self.lock = threading.Lock()

    def write(self, dialogue, rng):
        with self.lock:
            if len(self.asked) == self.stop_at:
                raise self.error("stopped")
            self.asked.append(dialogue.id)
        return super().write(dialogue, rng)


def test_results_keep_their_order_whatever_runs_at_once(source, tmp_path):
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    done = interrupt_file(source, one, Counting(), seed=3)
    interrupt_file(source, many, Counting(parallel=5), seed=3)
    assert one.read_bytes() == many.read_bytes()
    assert one.with_name("one.rejected.jsonl").read_bytes() == many.with_name("many.rejected.jsonl").read_bytes()
    assert done.kept + done.left_out == N
    assert done.reasons["no assistant's turn is long enough"] == 1
    ids = [d.id for d in read_dialogues(source)]
    kept = [d.id for d in read_dialogues(one)]
    assert kept == [i for i in ids if i in kept]
    interrupt_file(source, tmp_path / "other.jsonl", Counting(), seed=4)
    assert (tmp_path / "other.jsonl").read_bytes() != one.read_bytes()


@pytest.mark.parametrize("stop_at", [0, 1, 7, N - 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MostError])
def test_stopped_and_resumed(source, tmp_path, stop_at, error):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    interrupt_file(source, whole, Counting())
    stop = error if error is KeyboardInterrupt else lambda text: MostError("endpoint", "x", text)
    first, second, third = Counting(stop_at, stop), Counting(), Counting()
    with pytest.raises(error):
        interrupt_file(source, out, first)
    assert not out.exists()
    interrupt_file(source, out, second)
    assert sorted(first.asked + second.asked) == sorted(d.id for d in read_dialogues(source))
    assert out.read_bytes() == whole.read_bytes()
    interrupt_file(source, out, third)
    assert third.asked == []
    assert out.read_bytes() == whole.read_bytes()


def test_stopped_with_several_in_flight(source, tmp_path):
    first, second = Counting(5, parallel=4), Counting(parallel=4)
    with pytest.raises(KeyboardInterrupt):
        interrupt_file(source, tmp_path / "out.jsonl", first)
    interrupt_file(source, tmp_path / "out.jsonl", second)
    asked = first.asked + second.asked
    assert len(asked) == len(set(asked)) == N
    journal = (tmp_path / "out.journal.jsonl").read_text().splitlines()
    assert len(journal) == N + 1


@pytest.mark.parametrize("torn", ['{"id": "x", "ke', '{"id": "x", "key": "y"}', "\x00\x00"])
def test_a_torn_last_line_is_done_again(source, tmp_path, torn):
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.journal.jsonl"
    interrupt_file(source, out, Counting())
    whole, lines = out.read_bytes(), journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:6]) + torn)
    writer = Counting()
    interrupt_file(source, out, writer)
    assert len(writer.asked) == N - 5
    assert out.read_bytes() == whole


def test_a_torn_head_is_begun_again(source, tmp_path):
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.journal.jsonl"
    interrupt_file(source, out, Counting())
    head = journal.read_text().splitlines()[0]
    for torn in ("", head[:10], head):
        journal.write_text(torn)
        assert interrupt_file(source, out, Counting()).kept > 0


def test_a_journal_of_other_settings_is_refused(source, tmp_path):
    out = tmp_path / "out.jsonl"
    interrupt_file(source, out, Counting(), seed=1)
    with pytest.raises(MostError, match="begun with another seed; remove it or choose another --out"):
        interrupt_file(source, out, Counting(), seed=2)
    with pytest.raises(MostError, match="begun with another between"):
        interrupt_file(source, out, RuleWriter(between=(0.5, 0.6)), seed=1)


@pytest.mark.parametrize("text", ["not a journal\n", '{"id": "x"}\n', "[1]\n"])
def test_a_file_that_is_no_journal_is_left_alone(source, tmp_path, text):
    journal = tmp_path / "out.journal.jsonl"
    journal.write_text(text)
    with pytest.raises(MostError, match="does not begin as a journal"):
        interrupt_file(source, tmp_path / "out.jsonl", Counting())
    assert journal.read_text() == text


def test_changed_and_added_dialogues_are_done_anew(source, tmp_path, shipped):
    out = tmp_path / "out.jsonl"
    interrupt_file(source, out, Counting())
    found = list(read_dialogues(source))
    changed = [shipped[20], *found[1:5], type(found[5])(**{**vars(found[5]), "topic": "changed"}), *found[6:]]
    write_dialogues(source, changed)
    writer = Counting()
    interrupt_file(source, out, writer)
    assert writer.asked == [shipped[20].id, found[5].id]


def test_what_fails_validation_is_kept_out(source, tmp_path):
    class Careless(RuleWriter):
        def write(self, dialogue, rng):
            made = super().write(dialogue, rng)
            if isinstance(made, Rejection):
                return made
            turns = (type(made.turns[0])(role="user", text="Something else."), *made.turns[1:])
            return type(made)(**{**vars(made), "turns": turns})

    done = interrupt_file(source, tmp_path / "out.jsonl", Careless())
    assert done.kept == 0
    assert done.reasons["other turns were changed"] >= N - 4


def test_the_source_is_not_written_over(source):
    before = source.read_bytes()
    with pytest.raises(MostError, match="is the source"):
        interrupt_file(source, source, RuleWriter())
    assert source.read_bytes() == before


CHILD = """
import sys
from most.data.dialogue.interruptions.base import make_writer
from most.data.dialogue.interruptions.run import interrupt_file
interrupt_file(sys.argv[1], sys.argv[2], make_writer("endpoint", base_url=sys.argv[3], model="m", parallel=2))
"""


def test_killed_and_resumed(source, tmp_path, chat_server):
    """SIGKILL while answers are awaited: what was answered is not asked again, and the bytes are the same."""
    pytest.importorskip("openai")
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.journal.jsonl"
    held = threading.Event()

    def script(what, shown, n):
        if not held.is_set() and len(server.requests) > 10:
            held.wait(30)
        return chat_server.suitable(what, shown, n)

    with chat_server.ChatServer(script) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(source), str(out), server.url], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 90
        while len(server.requests) < 12 and time.monotonic() < deadline:
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        held.set()
        answered = {json.loads(line)["id"] for line in journal.read_text().splitlines()[1:]}
        assert 0 < len(answered) < N
        assert not out.exists()
        first = len(server.requests)
        writer = make_writer("endpoint", base_url=server.url, model="m", parallel=2)
        interrupt_file(source, out, writer)
        asked_again = {shown for _, shown, _ in server.requests[first:]}
        for dialogue in read_dialogues(source):
            if dialogue.id in answered:
                assert not any(dialogue.turns[0].text in shown for shown in asked_again)
        interrupt_file(source, tmp_path / "whole.jsonl", writer)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
