"""The two files of a report: everything a reader needs is in them, hostile text is escaped, the page stays small."""

import re
from html.parser import HTMLParser

import pytest

from most.errors import MostError
from most.evaluate.report import write_reports
from most.evaluate.report.items import N_CLIPS, N_FAILED, N_TYPICAL, N_WORST


class Words(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.words, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def reports(folder):
    path = write_reports(folder)
    page = Words(path.read_text())
    return page, " ".join(page.words), (folder / "report.md").read_text(), path


def test_both_say_what_a_reader_needs(reports):
    _, page, table, path = reports
    assert path.name == "report.html"
    for text in (" ".join(page.split()), " ".join(table.split())):
        for needed in (
            "12.3 %", "7.3 to 17.3", "(75.28)", "not comparable", "the model cannot hear", "prompt of clean",
            "the recipe names no task of this family", "source of swuggy", "most eval runs/model --recipe x.yaml",
            "1 h 2 min", "Whisper's", "2.13.0", "Moshi", "46.34", "83.0", "arXiv 2411.01834",
        ):  # fmt: skip
            assert needed in text


def test_disputed_baselines_only_where_their_family_ran(folder):
    results = (folder / "results.json").read_text()
    (folder / "results.json").write_text(results.replace('"audio_lm"', '"other"').replace('"spoken_qa"', '"others"'))
    assert "Moshi" not in write_reports(folder).read_text()
    assert "Moshi" not in (folder / "report.md").read_text()


def test_hostile_text_is_escaped(reports):
    page, text, table, path = reports
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in text  # as text
    assert "<script>" not in path.read_text()
    assert "runs/&lt;model>" in table


def test_markdown_tables_are_whole(reports):
    rows = [line for line in reports[2].splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(widths) == {11, 6}
    assert sum(w == 11 for w in widths) == 7 + 2 * 4  # a score each; head and rule of four families


def test_clips_are_few_and_short(reports):
    page, text, _, path = reports
    assert page.tags.count("audio") == 1 + N_CLIPS + N_TYPICAL - 1  # webq has but one item left for the last part
    assert "q3: wav, first 10 s" in text
    assert "q7: question audio" in text
    assert path.stat().st_size < 1_000_000
    assert N_FAILED + N_WORST + N_TYPICAL < 20


def test_failed_items_are_shown_with_their_reason(reports):
    assert "RuntimeError: boom" in reports[1]


def test_sound_that_is_gone_leaves_its_text(folder):
    for path in [*(folder / "webq" / "audio").glob("*.wav"), folder / "question.wav"]:
        path.write_bytes(b"RIFF")
    page = Words(write_reports(folder).read_text())
    assert "audio" not in page.tags
    assert "said 3" in page.words


def test_a_folder_without_results(tmp_path):
    with pytest.raises(MostError, match="finished"):
        write_reports(tmp_path)
