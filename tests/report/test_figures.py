"""Figures: known numbers in, the right marks out; ids that do not clash; the missing extra named."""

import builtins
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from most.errors import MostError
from most.report.figures import _smoothed, loss_curves, routing_heatmap, spectrograms


def texts(svg: str) -> list[str]:
    return ["".join(t.itertext()).strip() for t in ET.fromstring(svg).iter() if t.tag.endswith("text")]


def test_loss_curves_name_every_line_and_axis():
    curves = {
        "asr": [(s, 3 - s / 50) for s in range(100)],
        "tts": [(0, 2.0), (10, float("nan")), (20, 1.5)],
        "none": [],
    }
    figure = loss_curves(curves, title="Loss by task", reference={"chance $x$": 3.2})
    shown = texts(figure.svg)
    assert {"asr", "tts", "chance $x$", "training step", "loss (nats per token)"} <= set(shown)
    assert "none" not in shown
    assert "currentColor" in figure.svg
    assert "#010203" not in figure.svg
    loss_curves(curves, log_y=True)
    with pytest.raises(MostError, match="finite"):
        loss_curves({"asr": [(0, float("nan"))]})


def test_smoothing_keeps_a_straight_line_and_the_mean():
    line = np.arange(50.0)
    assert np.allclose(_smoothed(line, 3)[3:-3], line[3:-3])
    assert np.allclose(_smoothed(np.full(9, 2.5), 4), 2.5)
    assert _smoothed(np.array([0.0, 3.0, 6.0]), 1).tolist() == [1.5, 3.0, 4.5]


def test_heatmap_of_known_counts():
    counts = np.zeros((2, 2, 4))
    counts[:, 0, :2] = 10  # text: all within its group
    counts[:, 1, 2:] = 15  # audio: three quarters within
    counts[:, 1, 0] = 10
    shown = texts(routing_heatmap(counts, np.array([0, 0, 1, 1])).svg)
    assert "text tokens: 100.0 % of choices within the text group" in shown
    assert "audio tokens: 75.0 % of choices within the audio group" in shown
    assert {"routed expert", "layer", "text expert", "audio expert"} <= set(shown)
    both = texts(routing_heatmap(counts, np.array([[2, 0, 1, 1], [0, 0, 1, 2]]), layer_names=["L1", "L2"]).svg)
    assert {"both", "L1", "L2"} <= set(both)
    assert "audio tokens: 87.5 % of choices within the audio group" in both


@pytest.mark.parametrize(
    ("counts", "groups", "field"),
    [
        (np.zeros((2, 3, 4)), np.zeros(4), "counts"),
        (-np.ones((2, 2, 4)), np.zeros(4), "counts"),
        (np.ones((2, 2, 4)), np.zeros(5), "groups"),
    ],
)
def test_heatmap_shapes_are_checked(counts, groups, field):
    with pytest.raises(MostError) as e:
        routing_heatmap(counts, groups)
    assert e.value.field == field


def test_spectrograms_of_different_rates_share_a_page():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000).astype(np.float32)
    a = spectrograms([("in: 1 $kHz$ <b>", tone, 16000), ("out", tone[::2], 8000)], title="A page")
    b = spectrograms([("out", tone, 24000)], title="B page")
    assert "in: 1 $kHz$ <b>" in texts(a.svg)
    assert "time (s)" in texts(a.svg)
    ids = [set(re.findall(r'\bid="([^"]+)"', f.svg)) for f in (a, b)]
    assert not ids[0] & ids[1]
    for figure, own in zip((a, b), ids, strict=True):
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', figure.svg)) <= {(i, "") for i in own} | {
            ("", i) for i in own
        }
    assert spectrograms([("out", tone, 24000)], title="B page").svg == b.svg
    with pytest.raises(MostError, match="25 ms"):
        spectrograms([("short", tone[:100], 16000)])


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MostError, match=r"most-speech\[report\]"):
        loss_curves({"asr": [(0, 1.0)]})
