"""The codec as a whole: encode and decode, folders, evaluation, and the codec that ships."""

import json

import numpy as np
import pytest

from most.errors import MostError
from most.manifest import read_utterances
from most.speech.codec import Codec, assemble, default_codec_dir
from most.speech.evaluate import edits, evaluate_codec, pitch_counts


def speech(n=9000, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32).clip(-1, 1)


def test_encode_and_decode(codec):
    units = codec.encode(speech())
    assert units.dtype == np.int64
    assert len(units) == codec.encoder.num_frames(9000)
    assert 0 <= units.min() <= units.max() < codec.n_units
    wav, rate = codec.decode(units)
    assert (wav.shape, wav.dtype, rate) == ((len(units) * 320,), np.float32, 16000)
    np.testing.assert_array_equal(wav, codec.decode(units, "bob")[0])
    with pytest.raises(MostError, match="did you mean 'ann'"):
        codec.decode(units, "an")


def test_units_do_not_depend_on_gain_or_batch(codec):
    wavs = [speech(9000), speech(4000, 1), speech(9000, 2)]
    alone = [codec.encode(w) for w in wavs]
    for a, b, quiet in zip(alone, codec.encode_batch(wavs), [codec.encode(w * 0.25) for w in wavs], strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, quiet)


def test_round_trips_through_a_folder(codec, tmp_path):
    codec.save(tmp_path / "c")
    again = Codec.load(tmp_path / "c")
    assert again.fingerprint == codec.fingerprint
    assert (again.speakers, again.default_speaker) == (("ann", "bob"), "bob")
    units = codec.encode(speech())
    np.testing.assert_array_equal(again.encode(speech()), units)
    np.testing.assert_array_equal(again.decode(units)[0], codec.decode(units)[0])
    assert not [p for p in (tmp_path / "c").rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]


def test_without_a_vocoder_it_only_encodes(codec, tmp_path):
    bare = Codec(codec.encoder, codec.quantizer, None, codec.settings)
    bare.save(tmp_path / "bare")
    again = Codec.load(tmp_path / "bare")
    assert again.speakers == ()
    with pytest.raises(MostError, match="train-vocoder"):
        again.decode(again.encode(speech()))
    codec.vocoder.save(tmp_path / "voc")
    whole = assemble(tmp_path / "bare", tmp_path / "voc", tmp_path / "whole", speaker="ann", half=False)
    assert Codec.load(tmp_path / "whole").default_speaker == whole.default_speaker == "ann"
    with pytest.raises(MostError, match="speaker"):
        assemble(tmp_path / "bare", tmp_path / "voc", tmp_path / "x", speaker="zoe")


def test_bad_folders(codec, tmp_path):
    with pytest.raises(MostError, match=r"codec\.json"):
        Codec.load(tmp_path)
    codec.save(tmp_path / "c")
    path = tmp_path / "c" / "codec.json"
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | {"lyer": 2}))
    with pytest.raises(MostError, match="did you mean 'layer'"):
        Codec.load(tmp_path / "c")
    path.write_text(json.dumps(row | {"peak": 3}))
    with pytest.raises(MostError, match=r"codec\.peak"):
        Codec.load(tmp_path / "c")


def test_evaluation_counts_everything(codec, manifest, tmp_path):
    (manifest.parent / "audio" / "1.wav").unlink()
    heard = iter(["cats like milk", "cats bike milk"] * 5)
    summary = evaluate_codec(codec, read_utterances(manifest), tmp_path / "ev", judge=lambda wav: next(heard))
    items = [json.loads(line) for line in (tmp_path / "ev" / "items.jsonl").read_text().splitlines()]
    assert len(items) == summary["items"] == 6
    assert summary["failed"] == 1
    assert "no such file" in items[1]["error"]
    assert (summary["wer_original"], round(summary["wer_resynthesis"], 2)) == (0.0, 33.33)
    # Of the five that worked two are bob's own voice; only there can pitch be compared.
    assert summary["pitch_items"] == 2
    assert json.loads((tmp_path / "ev" / "summary.json").read_text()) == summary


def test_edits():
    assert edits(["a", "b", "c", "d"], ["a", "x", "c"]) == 2
    assert edits([], ["a"]) == edits(["a"], []) == 1


def test_pitch_counts():
    counts = pitch_counts(np.array([0, 100, 100, 100, 0.0]), np.array([0, 200, 100 * 2 ** (1 / 12), 0, 90]))
    assert (counts["voiced"], counts["voiced_both"], counts["voicing_errors"], counts["gross"]) == (3, 2, 2, 1)
    assert counts["cents_sum"] == pytest.approx(100)


def test_the_shipped_codec_on_a_recording():
    codec = Codec.load(default_codec_dir())
    assert (codec.n_units, codec.unit_rate_hz, codec.sample_rate) == (500, 50.0, 16000)
    wav = (0.1 * np.random.default_rng(0).normal(size=16000)).astype(np.float32)
    units = codec.encode(wav)
    assert len(units) == 50
    out, rate = codec.decode(units)
    assert (out.shape, rate) == ((16000,), 16000)
    assert codec.default_speaker in codec.speakers
    assert sum(p.stat().st_size for p in default_codec_dir().rglob("*") if p.is_file()) <= 28e6
