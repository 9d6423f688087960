"""The report: well-formed HTML with every piece in it, hostile text escaped, nothing fetched, written whole."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile as sf

from most.errors import MostError
from most.evaluate.wer import word_errors
from most.report.page import (
    Band,
    Bullets,
    Clip,
    Clips,
    Details,
    Facts,
    Figure,
    Numbers,
    Report,
    Section,
    Table,
    Text,
    WerTable,
    render,
    write_report,
)  # fmt: skip

HOSTILE = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "br", "img", "link", "input", "hr", "path", "use", "image"}


class Checker(HTMLParser):
    """Collects tags and visible text, and fails on a tag that is closed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.text, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture
def tone():
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)).astype(np.float32)


def full_report(tone: np.ndarray) -> Report:
    errors = word_errors(["a b c d"] * 4, ["a b c d"] * 3 + ["a x c"])
    pieces = [
        Text(text=f"first\n\nsecond {HOSTILE}"),
        Bullets(items=[HOSTILE], title=HOSTILE),
        Facts(items={HOSTILE: HOSTILE, "count": 1234567}),
        Table(columns=["name", HOSTILE], rows=[[HOSTILE, 1.23456], ["x", 2]], title=HOSTILE, note=HOSTILE),
        WerTable(rows={HOSTILE: errors}),
        Figure(svg="<svg><text>drawn</text></svg>", title=HOSTILE, caption=HOSTILE),
        Clips(clips=[Clip(label=HOSTILE, wav=tone, rate=16000, lines={"said": HOSTILE, HOSTILE: ""})]),
        Details(summary=HOSTILE, text=f"a: 1\n{HOSTILE}"),
        Numbers(items=[(HOSTILE, HOSTILE, HOSTILE)]),
    ]
    return Report(
        title=HOSTILE, summary=HOSTILE, sections=[Section(title=HOSTILE, pieces=pieces)],
        numbers=[("WER", "1 %", "note")], footer=HOSTILE,
    )  # fmt: skip


def test_page_is_well_formed_and_every_text_is_escaped(tone):
    page = render(full_report(tone))
    checker = parsed(page)
    assert "script" not in checker.tags
    assert not re.search(r"<\w+[^>]*\son\w+=", page)
    text = " ".join(checker.text)
    assert text.count(HOSTILE) >= 18
    for expected in ("first", "1,234,567", "1.235", "drawn", "a: 1"):
        assert expected in text


def test_nothing_is_fetched(tone):
    page = render(full_report(tone))
    assert all(link.startswith(("data:", "#")) for link in parsed(page).links)
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(\s*['\"]?http", page)


def test_sound_is_embedded_as_it_was(tone):
    page = render(full_report(tone))
    (sound,) = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    wav, rate = sf.read(io.BytesIO(base64.b64decode(sound)), dtype="float32")
    assert rate == 16000
    assert np.allclose(wav, tone, atol=1 / 32000)


def test_wer_table_shows_the_counts_and_scales_the_band():
    errors = word_errors(["a b c d"] * 4, ["a b c d"] * 3 + ["a x c"])
    html = WerTable(rows={"clean": errors}).html()
    assert "<b>12.5</b>" in html
    assert "1 / 1 / 0" in html
    left, width = (float(x) for x in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", html)[0])
    assert left + width == pytest.approx(100, abs=0.1)


def test_the_file_is_written_whole(tmp_path, tone):
    path = write_report(tmp_path / "new/report.html", full_report(tone))
    assert path.read_text(encoding="utf-8") == render(full_report(tone))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    broken = Clips(clips=[Clip(label="x", wav=np.zeros(0), rate=16000, lines={})])
    with pytest.raises(MostError, match="mono"):
        write_report(path, Report(title="t", summary="s", sections=[Section(title="a", pieces=[broken])]))
    assert path.read_text(encoding="utf-8") == render(full_report(tone))


def test_rows_must_fit_their_columns():
    with pytest.raises(MostError, match="2 columns"):
        Table(columns=["a", "b"], rows=[[1, 2], [3]])


def test_a_band_is_drawn_within_its_scale():
    table = Table(columns=["x", "y"], rows=[("a", Band(low=-0.2, value=0.25, high=1.7))]).html()
    assert "left:0.00%;width:100.00%" in table
    assert "calc(25.00% - 1px)" in table
