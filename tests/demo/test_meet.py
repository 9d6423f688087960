"""Meeting a model: with random weights everything runs and the page shows what was heard, said and answered."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile

from most.demo import meet
from most.generate.engine import Engine


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for name, kind, text in (("a", "transcribe", "one two"), ("b", "question", "What is three?")):
        soundfile.write(tmp_path / f"{name}.flac", 0.1 * rng.normal(size=9600).clip(-3, 3), 16000)
        rows.append({"file": f"{name}.flac", "kind": kind, "text": text, "who": f"reader {name}", "licence": "CC0-1.0"})
    (tmp_path / "samples.json").write_text(json.dumps(rows), encoding="utf-8")
    return meet.read_samples(tmp_path)


def test_everything_is_shown(engine, samples, tmp_path):
    lines: list[str] = []
    made = meet.meet(engine, tmp_path / "out", samples=samples, echo=lines.append)
    ((_, text),) = made.transcripts
    ((_, reply),) = made.answers
    assert text == engine.transcribe([samples[0].file])[0]
    said = "\n".join(lines)
    for shown in ("one two", text, meet.SENTENCE, "What is three?", reply.text):
        assert shown in said
    # Text and audio tokens are both routed, each to experts of their own.
    assert (made.routing.counts.sum(axis=(0, 2)) > 0).all()
    group = made.routing.groups
    assert not made.routing.counts[:, 0][group == 1].any()
    assert not made.routing.counts[:, 1][group == 0].any()
    html = (tmp_path / "out" / "meet.html").read_text(encoding="utf-8")
    spoken = sum(len(s.waveform) > 0 for s in (made.spoken, reply.speech))
    assert html.count("<audio") == 2 + 1 + (len(reply.speech.waveform) > 0)
    assert len(list((tmp_path / "out").glob("*.wav"))) == spoken
    assert "reader a" in html
    assert re.search("<svg", html)
