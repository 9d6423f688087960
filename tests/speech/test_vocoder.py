"""Vocoders: lengths, determinism, pitch that follows the predicted F0, parity with transformers, save and load."""

import math

import numpy as np
import pytest
import torch
from transformers.models.seamless_m4t.modeling_seamless_m4t import SeamlessM4TCodeHifiGan

from most.errors import MostError
from most.speech.f0 import fill_unvoiced, harmonic_source, measure_f0
from most.speech.vocoder import load_vocoder
from most.speech.vocoder.base import build_vocoder
from most.speech.vocoder.data import Batch
from most.speech.vocoder.losses import spectral_losses

SMALL = {
    "convnext": dict(width=16, unit_blocks=1, frame_blocks=1, pitch_width=16, pitch_dilations=(1,)),
    "hifigan": dict(unit_width=8, speaker_width=4, channels=32, resblock_kernels=(3,), resblock_dilations=((1, 3),)),
}


def make(kind, **changes):
    torch.manual_seed(0)
    return build_vocoder(kind, dict(n_units=20, speakers=("ann", "bob"), **SMALL[kind]) | changes).eval()


@pytest.fixture(params=sorted(SMALL))
def vocoder(request):
    return make(request.param)


@pytest.mark.parametrize("n", [1, 2, 7, 603])
def test_length_and_determinism(vocoder, n):
    units = np.random.default_rng(n).integers(0, 20, n)
    wav = vocoder.synthesize(units, "bob")
    assert wav.dtype == np.float32
    assert wav.shape == (n * 320,)
    assert np.isfinite(wav).all()
    assert np.abs(wav).max() <= 1
    np.testing.assert_array_equal(wav, vocoder.synthesize(units, "bob"))


def test_speakers_differ(vocoder):
    units = np.arange(20)
    assert np.abs(vocoder.synthesize(units, "ann") - vocoder.synthesize(units, "bob")).max() > 1e-6


def test_durations_repeat_units(vocoder):
    units, lasts = np.array([3, 5, 3]), np.array([2, 1, 4])
    wav = vocoder.synthesize(units, "ann", durations=lasts)
    np.testing.assert_array_equal(wav, vocoder.synthesize(np.repeat(units, lasts), "ann"))


def test_save_and_load(vocoder, tmp_path):
    vocoder.save(tmp_path)
    again = load_vocoder(tmp_path)
    assert (again.kind, again.config) == (vocoder.kind, vocoder.config)
    np.testing.assert_array_equal(again.synthesize(np.arange(9), "ann"), vocoder.synthesize(np.arange(9), "ann"))
    vocoder.save(tmp_path / "half", torch.float16)
    half = load_vocoder(tmp_path / "half").state_dict()
    for name, value in vocoder.state_dict().items():
        torch.testing.assert_close(half[name], value, atol=1e-6, rtol=1e-3)


def test_refusals(vocoder, tmp_path):
    with pytest.raises(MostError, match="did you mean 'ann'"):
        vocoder.synthesize(np.arange(3), "anne")
    with pytest.raises(MostError, match=r"0\.\.19"):
        vocoder.synthesize(np.array([20]), "ann")
    with pytest.raises(MostError, match="non-empty"):
        vocoder.synthesize(np.array([], dtype=int), "ann")
    with pytest.raises(MostError, match="integers"):
        vocoder.synthesize(np.array([0.5]), "ann")
    with pytest.raises(MostError, match="one a unit"):
        vocoder.synthesize(np.arange(3), "ann", durations=np.array([1, 0, 1]))
    with pytest.raises(MostError, match="did you mean 'convnext'"):
        build_vocoder("convnet", {})
    with pytest.raises(MostError, match="unknown setting"):
        make(vocoder.kind, widths=3)
    with pytest.raises(MostError, match="train-vocoder"):
        load_vocoder(tmp_path)


def test_hifigan_is_transformers_own():
    ours = make("hifigan")
    torch.manual_seed(1)
    theirs = SeamlessM4TCodeHifiGan(ours.config.seamless()).eval()
    # Durations near one, as trained ones are: random ones would round to the minimum everywhere.
    torch.nn.init.constant_(theirs.dur_predictor.proj.bias, 1.0)
    torch.nn.init.normal_(theirs.dur_predictor.proj.weight, std=0.3)
    ours.from_seamless(theirs)
    units, speaker = torch.randint(0, 20, (1, 30)), torch.tensor([[1]])
    with torch.no_grad():
        want = theirs(units, speaker, torch.zeros(1, 1, dtype=torch.long))[0][0]
    lasts = ours.predict_durations(units[0], speaker[0])
    assert len(set(lasts.tolist())) > 1
    got = ours.synthesize(units[0].numpy(), "bob", collapsed=True)
    torch.testing.assert_close(torch.from_numpy(got), want, atol=1e-6, rtol=1e-5)


def test_hifigan_in_chunks_equals_the_whole(monkeypatch):
    vocoder = make("hifigan")
    units = np.random.default_rng(0).integers(0, 20, 90)
    whole = vocoder.synthesize(units, "ann")
    monkeypatch.setattr("most.speech.vocoder.hifigan.CHUNK_UNITS", 13)
    np.testing.assert_allclose(vocoder.synthesize(units, "ann"), whole, atol=1e-6)


def test_hifigan_of_one_voice_and_no_durations(tmp_path):
    bare = make("hifigan", speakers=("one",), speaker_width=0, durations=False)
    assert not [k for k in bare.state_dict() if k.startswith(("speaker", "dur"))]
    bare.save(tmp_path)
    units = np.arange(9)
    np.testing.assert_array_equal(load_vocoder(tmp_path).synthesize(units, "one"), bare.synthesize(units, "one"))
    with pytest.raises(MostError, match="predicts none"):
        bare.synthesize(units, "one", collapsed=True)
    batch = Batch(
        units=torch.arange(9)[None], speaker=torch.zeros(1, dtype=torch.long), audio=torch.randn(1, 9 * 320),
        log_f0=torch.zeros(1, 9), voiced=torch.zeros(1, 9),
    )  # fmt: skip
    assert "duration" not in bare.losses(batch)[1]
    with pytest.raises(MostError, match="2 voices need an embedding"):
        make("hifigan", speaker_width=0)


def test_hifigan_rates_that_are_no_binary_fractions():
    vocoder = make("hifigan", upsample_rates=(6, 5, 4, 4), upsample_kernels=(12, 9, 8, 8), unit_rate_hz=16000 / 480)
    assert vocoder.synthesize(np.arange(3), "ann").shape == (1440,)


def test_convnext_predicts_no_durations():
    with pytest.raises(MostError, match="predicts none"):
        make("convnext").synthesize(np.arange(3), "ann", collapsed=True)


@pytest.mark.parametrize("hz", [80.0, 123.4, 200.0, 411.0])
def test_harmonic_source_is_the_sum_of_cosines(hz):
    n = 40
    wav = harmonic_source(torch.full((1, n), hz), torch.ones(1, n), 160, 16000)[0].double().numpy()
    phase = 2 * np.pi * hz * np.arange(1, n * 160 + 1) / 16000
    count = 8000 / hz - 1
    whole = int(count)
    want = sum(np.cos(k * phase) for k in range(1, whole + 1)) + (count - whole) * np.cos((whole + 1) * phase)
    np.testing.assert_allclose(wav, want * math.sqrt(2 / count), atol=0.02 * math.sqrt(count))
    assert 0.5 < np.square(wav).mean() < 2


def test_measured_f0_lies_at_the_middle_of_frames():
    hz = 100 + 100 * np.arange(16000) / 16000
    phase = 2 * np.pi * np.cumsum(hz) / 16000
    wav = (0.05 * sum(np.cos(k * phase) for k in range(1, 20))).astype(np.float32)
    f0 = measure_f0(wav, 16000, 100)
    np.testing.assert_allclose(f0[10:90], 100 + np.arange(10, 90) + 0.5, atol=0.5)


def test_fill_unvoiced_bridges_in_log():
    filled = np.exp(fill_unvoiced(np.array([0, 100, 0, 0, 0, 400, 0.0])))
    np.testing.assert_allclose(filled, [100, 100, 141.42, 200, 282.84, 400, 400], rtol=1e-3)
    assert np.exp(fill_unvoiced(np.zeros(3))) == pytest.approx([150] * 3)


@pytest.mark.parametrize("hz", [110.0, 220.0])
def test_pitch_of_the_output_follows_the_predicted_f0(hz):
    vocoder = make("convnext")
    with torch.no_grad():
        vocoder.f0_mean.fill_(math.log(hz))
        vocoder.pitch.head.weight.zero_()
        # One unit is 2 frames of (relative log F0, voicing): a steady voice at the speaker's mean.
        vocoder.pitch.head.bias.copy_(torch.tensor([0.0, 5.0, 0.0, 5.0]))
    wav = vocoder.synthesize(np.full(60, 4), "ann")
    f0 = measure_f0(wav, 16000, 120)[10:110]
    assert (f0 > 0).mean() > 0.9
    assert abs(1200 * np.log2(np.median(f0[f0 > 0]) / hz)) < 20


def test_convnext_spectra_invert():
    vocoder = make("convnext")
    wav = torch.randn(2, 320 * 9)
    torch.testing.assert_close(vocoder._istft(vocoder._stft(wav)), wav, atol=1e-5, rtol=1e-5)


def test_spectral_losses_are_zero_only_for_the_same():
    wav = torch.randn(2, 4000) * 0.1
    same = spectral_losses(wav, wav, 16000)
    other = spectral_losses(wav * 0.5, wav, 16000)
    assert float(same["stft"]) < 1e-6
    assert float(same["mel"]) < 1e-6
    assert float(other["mel"]) == pytest.approx(math.log(2), rel=0.01)
