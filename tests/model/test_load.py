"""Where models and codecs are looked for."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from most.errors import MostError
from most.model import load
from most.model.load import codec_dir_of, default_model_dir
from most.speech.codec import default_codec_dir


def test_a_model_without_a_codec_has_the_shipped_one(tmp_path: Path) -> None:
    assert codec_dir_of(tmp_path) == default_codec_dir()
    assert (default_codec_dir() / "codec.json").is_file()


def test_a_model_with_a_codec_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "codec").mkdir()
    with pytest.raises(MostError, match=r"has no codec\.json"):
        codec_dir_of(tmp_path)
    (tmp_path / "codec" / "codec.json").write_text("{}")
    assert codec_dir_of(str(tmp_path)) == tmp_path / "codec"


def test_a_hub_id(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MostError, match="no hub id that can be reached"):
        codec_dir_of("someone/unknown")
    repo = tmp_path / "models--someone--plain"
    (repo / "snapshots" / "1").mkdir(parents=True)
    (repo / "snapshots" / "1" / "config.json").write_text("{}")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("1")
    assert codec_dir_of("someone/plain") == default_codec_dir()


def test_the_shipped_model(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "most"
    monkeypatch.setattr(load, "__file__", str(package / "model" / "load.py"))
    with pytest.raises(MostError, match="most train"):
        default_model_dir()
    nano = package / "assets" / "nano"
    nano.mkdir(parents=True)
    (nano / "config.json").write_text(json.dumps({"model_type": "most"}))
    assert default_model_dir() == nano
