"""What stands beside a score: its interval, the paper's figure where it belongs, a stand-in's label everywhere."""

from most.evaluate.report.lines import FAMILIES, duration, families, lines, shown
from most.evaluate.report.results import load_results
from most.evaluate.score import Score


def lines_of(folder):
    return {t.name: lines(t) for t in load_results(folder).tasks}


def test_the_papers_figure_stands_beside_the_same_set(folder):
    found = lines_of(folder)
    assert [line.paper for line in found["clean"]] == ["2.0", ""]
    assert [line.paper for line in found["webq"]] == ["44.7", ""]
    assert [line.paper for line in found["wiki"]] == [""]


def test_every_figure_of_a_stand_in_says_so_and_the_papers_is_in_brackets(folder):
    found = lines_of(folder)["swuggy"]
    assert [line.paper for line in found] == ["(75.28)", ""]
    assert all("stand-in for sWUGGY" in line.note for line in found)
    assert all(line.stand_in for line in found)
    assert not any(line.note or line.stand_in for line in lines_of(folder)["clean"])


def test_a_part_of_a_set_is_said_to_be_one(folder):
    assert {line.note for line in lines_of(folder)["webq"]} == {"the first 8 of the set"}


def test_figures_as_text(folder):
    wer, cer = lines_of(folder)["clean"]
    assert (wer.value, wer.interval) == ("12.3\u00a0%", "7.3 to 17.3")
    assert (wer.metric, wer.count, cer.count) == ("wer\u00a0↓", "8; 2 failed, 1 empty", "8")
    (wiki,) = lines_of(folder)["wiki"]
    assert (wiki.value, wiki.metric) == ("32.42", "perplexity\u00a0↓")
    assert lines_of(folder)["webq"][0].set == "WebQuestions (S→S)"


def test_families_without_a_task_are_named_too(folder):
    found = {name: [t.name for t in tasks] for name, _, tasks in families(load_results(folder))}
    assert list(found) == list(FAMILIES)
    assert found["tts"] == []
    assert found["spoken_qa"] == ["llama", "webq"]


def test_large_figures_are_written_out():
    words = Score(metric="words", value=12345.0, low=12345.0, high=12345.0, n_items=3, unit="words", better=None)
    assert shown(words.value, words) == "12,345"


def test_duration():
    assert [duration(s) for s in (0.25, 75, 3725)] == ["0.2 s", "1 min 15 s", "1 h 2 min"]
