"""Judges by name: mistakes name the way out, and a recipe's judge is made once a process."""

import builtins
import pickle

import pytest

from most.errors import MostError
from most.evaluate.judges import JUDGES, JudgeSettings, make_judge
from most.settings import build


def test_a_judge_that_is_not_there_names_the_way_out(monkeypatch):
    with pytest.raises(MostError, match="did you mean 'faster-whisper'"):
        make_judge("fast-whisper")
    with pytest.raises(MostError, match="settings"):
        make_judge("pocketsphinx-digits", colour="blue")
    with pytest.raises(MostError, match="could not be loaded"):
        make_judge("faster-whisper", model="./no/such/folder")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] in ("pocketsphinx", "faster_whisper"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, settings in (("pocketsphinx-digits", {}), ("faster-whisper", {"model": "base"})):
        with pytest.raises(MostError, match=r"most-speech\[eval\]"):
            make_judge(name, **settings)


def test_a_recipe_s_judge_is_made_once(monkeypatch):
    made = []

    class Mute:
        name, sample_rate = "mute", 16000

        def __init__(self, volume=0, tags=()):
            made.append((volume, tags))

    monkeypatch.setitem(JUDGES, "mute", Mute)
    one = build(JudgeSettings, {"name": "mute", "settings": {"volume": 1, "tags": ["a", "b"]}})
    same = build(JudgeSettings, {"name": "mute", "settings": {"tags": ["a", "b"], "volume": 1}})
    other = build(JudgeSettings, {"name": "mute"})
    assert one.judge() is same.judge() is pickle.loads(pickle.dumps(one)).judge()
    assert other.judge() is not one.judge()
    assert made == [(1, ["a", "b"]), (0, ())]
    assert str(one) == "mute (volume 1, tags ['a', 'b'])"
    assert str(other) == "mute"


def test_an_unknown_judge_is_refused_before_it_is_needed():
    with pytest.raises(MostError, match="did you mean 'pocketsphinx-digits'"):
        JudgeSettings(name="pocketsphinx-digit")
