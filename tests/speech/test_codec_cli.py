"""The verbs of `most codec`, one after the other on six noises, as a user would run them."""

import json

import yaml
from typer.testing import CliRunner

from most.cli.codec import app
from most.errors import MostError
from most.speech.audio import read_audio
from most.speech.codec import Codec


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_recordings_to_a_measured_codec(codec, manifest, tmp_path):
    codec.encoder.save(tmp_path / "enc")
    small = dict(width=8, unit_blocks=1, frame_blocks=1, pitch_width=8, pitch_dilations=[1], expansion=1)
    recipe = tmp_path / "codec.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "units": dict(encoder=str(tmp_path / "enc"), layer=1, n_units=6, iterations=3),
                "vocoder": dict(model=small, speakers={"ann": 1, "bob": 2}, segment_seconds=0.2, batch_size=2, steps=3),
            }
        )
    )
    units, vocoder, whole = tmp_path / "units", tmp_path / "vocoder", tmp_path / "whole"
    assert "6 units at 50 Hz" in run("train-units", "--recipe", recipe, "--manifest", manifest, "--out", units)
    said = run("train-vocoder", "--recipe", recipe, "--manifest", manifest, "--codec", units, "--out", vocoder)
    assert all(word in said for word in ("reads", "writes", "costs"))
    run("assemble", "--units", units, "--vocoder", vocoder / "vocoder", "--out", whole, "--speaker", "bob")
    assert Codec.load(whole).default_speaker == "bob"
    sound, again = manifest.parent / "audio" / "0.wav", tmp_path / "again.flac"
    run("resynthesize", sound, "--codec", whole, "--out", again, "--speaker", "ann")
    assert abs(len(read_audio(again)) - len(read_audio(sound))) < 320
    said = run("evaluate", "--manifest", manifest, "--codec", whole, "--judge", "none", "--out", tmp_path / "ev")
    assert "voiced_kept" in said
    summary = json.loads((tmp_path / "ev" / "summary.json").read_text())
    assert (summary["items"], summary["pitch_items"], summary["wer_original"]) == (6, 3, None)


def test_a_mistake_is_one_error(tmp_path):
    result = CliRunner().invoke(app, ["resynthesize", str(tmp_path / "none.wav"), "--out", str(tmp_path / "x.wav")])
    assert isinstance(result.exception, MostError)
    assert "no such file" in str(result.exception)
