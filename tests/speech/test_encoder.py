"""Encoders: parity with transformers, batch independence, frame counts, what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import HubertConfig, HubertModel, WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from most.errors import MostError
from most.speech.encoder import build_encoder, load_encoder

WHISPER = dict(
    model_type="whisper", num_mel_bins=80, d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64,
    decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=64, max_source_positions=1500, vocab_size=64,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
)  # fmt: skip
HUBERT = dict(
    model_type="hubert", hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, vocab_size=8,
)  # fmt: skip


def make(settings):
    torch.manual_seed(0)
    return build_encoder(settings)


@pytest.fixture(scope="module", params=["whisper", "hubert", "hubert25"])
def encoder(request):
    extra = dict(conv_dim=[16] * 8, conv_kernel=[10, 3, 3, 3, 3, 2, 2, 2], conv_stride=[5] + [2] * 7)
    return make({"whisper": WHISPER, "hubert": HUBERT, "hubert25": HUBERT | extra}[request.param])


def noise(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    out = torch.zeros(len(lengths), max(lengths))
    for row, n in zip(out, lengths, strict=True):
        row[:n] = torch.from_numpy(rng.uniform(-0.5, 0.5, n).astype(np.float32))
    return out, torch.tensor(lengths)


def test_log_mel_agrees_with_transformers():
    enc = make(WHISPER)
    wave, _ = noise(480000)
    wave[0, 300000:] = 0
    theirs = WhisperFeatureExtractor()(wave[0].numpy(), sampling_rate=16000, return_tensors="pt").input_features
    torch.testing.assert_close(enc.log_mel(wave), theirs, atol=2e-5, rtol=0)


def test_whisper_is_transformers_own_at_30_seconds():
    enc = make(WHISPER)
    wave, n = noise(480000)
    theirs = WhisperEncoder(enc.config).eval()
    theirs.load_state_dict(enc.model.state_dict())
    with torch.no_grad():
        out = theirs(enc.log_mel(wave), output_hidden_states=True)
    frames, n_frames = enc(wave, n)
    assert n_frames.tolist() == [1500]
    torch.testing.assert_close(frames, out.last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(enc(wave, n, layer=1)[0], out.hidden_states[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [None, 1])
def test_hubert_is_transformers_own(layer):
    enc = make(HUBERT | {"do_normalize": False})
    wave, n = noise(8000)
    with torch.no_grad():
        out = enc.model(wave, output_hidden_states=True)
    want = out.last_hidden_state if layer is None else out.hidden_states[layer]
    torch.testing.assert_close(enc(wave, n, layer=layer)[0], want)


def test_hubert_normalises_as_the_feature_extractor():
    from transformers import Wav2Vec2FeatureExtractor

    enc = make(HUBERT)
    wave, n = noise(8000)
    wave = wave * 0.1 + 0.05
    values = Wav2Vec2FeatureExtractor(do_normalize=True)(wave[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        want = enc.model(values.input_values).last_hidden_state
    torch.testing.assert_close(enc(wave, n)[0], want, atol=1e-5, rtol=1e-5)


def test_an_utterance_does_not_see_its_batch(encoder):
    wave, n = noise(9000, 4001, 9000, 1300)
    frames, n_frames = encoder(wave, n)
    for i in range(4):
        alone, count = encoder(wave[i : i + 1, : n[i]], n[i : i + 1])
        assert count.item() == n_frames[i].item() == encoder.num_frames(int(n[i]))
        torch.testing.assert_close(frames[i : i + 1, : count.item()], alone, atol=1e-5, rtol=1e-5)
        assert frames[i, count.item() :].abs().sum() == 0


@settings(max_examples=25, deadline=None)
@given(n=st.integers(400, 20000))
def test_num_frames_is_what_comes_out(encoder, n):
    want = encoder.num_frames(n)
    if want == 0:
        with pytest.raises(MostError):
            encoder(*noise(n))
    else:
        frames, count = encoder(*noise(n))
        assert frames.shape == (1, want, encoder.hidden_size)
        assert count.tolist() == [want]


@pytest.mark.parametrize("n", [3200, 3201, 3600, 6400, 7001, 3519, 9600])
def test_long_audio_runs_in_windows(n):
    enc = make(WHISPER | {"max_source_positions": 10})
    frames, count = enc(*noise(n))
    assert frames.shape[1] == count.item() == enc.num_frames(n)
    first, _ = enc(noise(n)[0][:, :3200], torch.tensor([3200]))
    torch.testing.assert_close(frames[:, :10], first)


def test_frame_rates():
    assert make(WHISPER).frame_rate_hz == make(HUBERT).frame_rate_hz == 50.0


def test_stays_frozen_and_in_eval_mode(encoder):
    holder = torch.nn.ModuleDict({"audio_encoder": encoder}).train()
    assert not any(m.training for m in encoder.modules())
    assert not any(p.requires_grad for p in holder.parameters())


def test_round_trips_through_a_folder(encoder, tmp_path):
    encoder.save(tmp_path / "enc")
    again = load_encoder(tmp_path / "enc")
    wave, n = noise(5000)
    torch.testing.assert_close(again(wave, n)[0], encoder(wave, n)[0])
    assert again.config_dict() == encoder.config_dict()
    rebuilt = build_encoder(encoder.config_dict())
    rebuilt.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(rebuilt(wave, n)[0], encoder(wave, n)[0])


def test_loads_transformers_own_checkpoints(tmp_path):
    from transformers import WhisperForConditionalGeneration

    settings = {k: v for k, v in WHISPER.items() if k != "model_type"}
    model = WhisperForConditionalGeneration(WhisperConfig(**settings))
    model.save_pretrained(tmp_path / "w")
    enc = load_encoder(tmp_path / "w")
    torch.testing.assert_close(enc.model.conv1.weight.data, model.model.encoder.conv1.weight.data)
    torch.testing.assert_close(enc.model.layer_norm.weight.data, model.model.encoder.layer_norm.weight.data)
    hubert = HubertModel(HubertConfig(**{k: v for k, v in HUBERT.items() if k != "model_type"}))
    hubert.save_pretrained(tmp_path / "h")
    enc = load_encoder(tmp_path / "h")
    for name, tensor in hubert.state_dict().items():
        torch.testing.assert_close(enc.model.state_dict()[name], tensor)


def test_survives_bfloat16_and_the_meta_device():
    enc = make(WHISPER).to(torch.bfloat16)
    frames, _ = enc(*noise(4000))
    assert frames.dtype == torch.bfloat16
    assert frames.isfinite().all()
    with torch.device("meta"):
        shell = build_encoder(WHISPER)
    assert all(p.is_meta for p in shell.parameters())
    assert not list(shell.state_dict().keys() ^ make(WHISPER).state_dict().keys())


def test_refusals(encoder, tmp_path):
    with pytest.raises(MostError, match="layer: 3"):
        encoder(*noise(4000), layer=3)
    with pytest.raises(MostError, match="25 ms"):
        encoder(*noise(200))
    with pytest.raises(MostError, match="did you mean 'whisper'"):
        build_encoder({"model_type": "whispr"})
    with pytest.raises(MostError, match=r"config\.json"):
        load_encoder(tmp_path / "nothing")
