"""Foreign unit HiFi-GAN: the same waveform as the published architecture, written out here in torch, gives."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from most.errors import MostError
from most.speech.foreign.hifigan import import_vocoder
from most.speech.vocoder import load_vocoder

CONFIG = {
    "resblock": "1", "batch_size": 16, "learning_rate": 0.0002, "upsample_rates": [5, 4, 4, 2, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4, 4], "upsample_initial_channel": 64, "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]], "num_embeddings": 12, "embedding_dim": 8, "model_in_dim": 8,
    "code_hop_size": 320, "f0": False, "sampling_rate": 16000, "n_fft": 1024,
}  # fmt: skip
SPEAKERS = {"multispkr": "from_input_file", "num_speakers": 5, "model_in_dim": 16}
DURATIONS = {
    "dur_prediction_weight": 1.0,
    "dur_predictor_params": {
        "encoder_embed_dim": 8, "var_pred_hidden_dim": 8, "var_pred_kernel_size": 3, "var_pred_dropout": 0.5,
    },
}  # fmt: skip


class Block(nn.Module):
    def __init__(self, norm, channels, kernel, dilations):
        super().__init__()
        same = [norm(nn.Conv1d(channels, channels, kernel, padding=kernel // 2)) for _ in dilations]
        wide = [
            norm(nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)) for d in dilations
        ]
        self.convs1, self.convs2 = nn.ModuleList(wide), nn.ModuleList(same)

    def forward(self, x):
        for wide, same in zip(self.convs1, self.convs2, strict=True):
            x = x + same(F.leaky_relu(wide(F.leaky_relu(x, 0.1)), 0.1))
        return x


class Durations(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.ReLU())
        self.ln1 = nn.LayerNorm(width)
        self.conv2 = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.ReLU())
        self.ln2 = nn.LayerNorm(width)
        self.proj = nn.Linear(width, 1)

    def forward(self, x):
        x = self.ln1(self.conv1(x.mT).mT)
        return self.proj(self.ln2(self.conv2(x.mT).mT))[..., 0]


class CodeGenerator(nn.Module):
    """speech-resynthesis' generator: units (1, U) and a speaker (1, 1) to samples."""

    def __init__(self, h, norm):
        super().__init__()
        width, channels = h["embedding_dim"], h["upsample_initial_channel"]
        self.dict = nn.Embedding(h["num_embeddings"], width)
        if h.get("multispkr"):
            self.spkr = nn.Embedding(h.get("num_speakers", 200), width)
        if h.get("dur_predictor_params"):
            self.dur_predictor = Durations(width)
        self.conv_pre = norm(nn.Conv1d(h["model_in_dim"], channels, 7, padding=3))
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(h["upsample_rates"], h["upsample_kernel_sizes"], strict=True):
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(norm(up))
            channels //= 2
            for k, d in zip(h["resblock_kernel_sizes"], h["resblock_dilation_sizes"], strict=True):
                self.resblocks.append(Block(norm, channels, k, d))
        self.conv_post = norm(nn.Conv1d(channels, 1, 7, padding=3))

    @torch.no_grad()
    def forward(self, units, speaker=None, predict=False):
        x = self.dict(units)
        if predict:
            lasts = (self.dur_predictor(x).exp() - 1).round().long().clamp(min=1)
            x = x.repeat_interleave(lasts[0], dim=1)
        if speaker is not None:
            x = torch.cat([x, self.spkr(speaker).expand(-1, x.shape[1], -1)], dim=-1)
        x = self.conv_pre(x.mT)
        n = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(block(x) for block in self.resblocks[i * n : (i + 1) * n]) / n
        return self.conv_post(F.leaky_relu(x)).tanh()[0, 0]


NORMS = {"weight_g": nn.utils.weight_norm, "parametrized": nn.utils.parametrizations.weight_norm, "folded": lambda m: m}


@pytest.fixture
def make(tmp_path):
    """A generator of `CONFIG` with changes, its checkpoint and its config file."""

    def build(norm="weight_g", **changes):
        torch.manual_seed(0)
        h = CONFIG | changes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CodeGenerator(h, NORMS[norm]).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                # Magnitudes of their own: as made, g is |v| and folding would change nothing.
                p.mul_(1 + 0.5 * torch.rand_like(p)) if name.endswith(("_g", "original0")) else p.mul_(1.5)
            if "dur_predictor_params" in h:
                nn.init.constant_(model.dur_predictor.proj.bias, 1.2)
                nn.init.normal_(model.dur_predictor.proj.weight, std=0.5)
        torch.save({"generator": model.state_dict()}, tmp_path / "g_00400000")
        (tmp_path / "config.json").write_text(json.dumps(h))
        return model, tmp_path / "g_00400000", tmp_path / "config.json"

    return build


UNITS = np.array([3, 3, 5, 11, 0, 0, 0, 7, 2, 2, 9, 4, 1])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("speakers", [False, True])
def test_the_same_waveform(norm, speakers, make, tmp_path):
    model, file, config = make(norm, **(SPEAKERS if speakers else {}))
    report = import_vocoder(file, config, tmp_path / "voc")
    ours = load_vocoder(tmp_path / "voc")
    assert ours.speakers == tuple(f"speaker-{i}" for i in range(5 if speakers else 1))
    assert (ours.sample_rate, ours.unit_rate_hz, ours.n_units) == (16000, 50.0, 12)
    want = model(torch.from_numpy(UNITS)[None], torch.tensor([[3]]) if speakers else None).numpy()
    assert want.std() > 1e-3
    got = ours.synthesize(UNITS, "speaker-3" if speakers else "speaker-0")
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert "weight norm folded" in str(report)
    assert "batch_size, learning_rate, n_fft: settings of training" in str(report)
    with pytest.raises(MostError, match="predicts none"):
        ours.synthesize(UNITS, ours.speakers[0], collapsed=True)


def test_durations_and_named_speakers(make, tmp_path):
    model, file, config = make(**SPEAKERS, **DURATIONS)
    (tmp_path / "speakers.txt").write_text("p225\np226\np227\n")
    report = import_vocoder(file, config, tmp_path / "voc", tmp_path / "speakers.txt")
    ours = load_vocoder(tmp_path / "voc")
    assert ours.speakers == ("p225", "p226", "p227")
    units = np.array([3, 5, 11, 0, 7, 2, 9])
    want = model(torch.from_numpy(units)[None], torch.tensor([[1]]), predict=True).numpy()
    assert len(want) > len(units) * 320
    np.testing.assert_allclose(ours.synthesize(units, "p226", collapsed=True), want, atol=1e-5)
    assert "its duration predictor" in str(report)


def test_another_rate(make, tmp_path):
    changes = dict(upsample_rates=[6, 5, 4, 4], upsample_kernel_sizes=[12, 9, 8, 8], code_hop_size=480)
    model, file, config = make(**changes)
    import_vocoder(file, config, tmp_path / "voc")
    ours = load_vocoder(tmp_path / "voc")
    assert ours.unit_rate_hz == 16000 / 480
    np.testing.assert_allclose(ours.synthesize(UNITS, "speaker-0"), model(torch.from_numpy(UNITS)[None]), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"f0": True}, r"config\.f0: True: .*without F0"),
        ({"f0_quantizer_path": "x"}, r"config\.f0_quantizer_path: 'x'"),
        ({"f0_quantizer": {"a": 1}}, r"config\.f0_quantizer"),
        ({"code_vq_params": {"l_bins": 256}}, r"config\.code_vq_params.*k-means"),
        ({"lambda_commit_code": 0.02}, r"config\.lambda_commit_code"),
        ({"embedder_params": {"dim": 256}}, r"config\.embedder_params.*table of speakers"),
        ({"multistyle": "from_input_file"}, r"config\.multistyle"),
        ({"resblock": "2"}, r"config\.resblock: '2'"),
        ({"num_embeddings": 13}, r"config\.num_embeddings: 13: the checkpoint has 12"),
        ({"model_in_dim": 24}, r"config\.model_in_dim: 24"),
        ({"multispkr": None}, r"config\.multispkr: None: the checkpoint has a table"),
        ({"code_hop_size": 160}, r"config\.code_hop_size: 160: upsample_rates make 320"),
        ({"upsample_initial_channel": 128}, r"conv_pre.bias has shape \(64,\), needs \(128,\)"),
        ({"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]]}, "resblocks.5.* has no place"),
        ({"upsample_rates": "5,4"}, r"config\.upsample_rates: '5,4'"),
        ({"resblock_dilation_sizes": 3}, r"config\.resblock_dilation_sizes"),
        ({"sampling_rate": None}, r"config\.sampling_rate: None: is missing"),
    ],
)
def test_configs_that_do_not_fit(changes, match, make, tmp_path):
    _, file, config = make(**SPEAKERS)
    config.write_text(json.dumps(CONFIG | SPEAKERS | changes))
    with pytest.raises(MostError, match=match):
        import_vocoder(file, config, tmp_path / "voc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "g_00400000"]


def test_files_that_do_not_fit(make, evil, tmp_path):
    _, file, config = make()
    whole, out = file.read_bytes(), tmp_path / "voc"

    def check(match, **arguments):
        with pytest.raises(MostError, match=match):
            import_vocoder(**dict(file=file, config=config, out=out) | arguments)
        assert not out.exists()
        assert not list(tmp_path.glob(".*"))

    check("no such file", config=tmp_path / "none.json")
    check("is no JSON", config=file)
    (tmp_path / "names").write_text("a\nb\n")
    check("must name 1..1 different speakers", speakers=tmp_path / "names")
    file.write_bytes(whole[: len(whole) // 2])
    check("cut short")
    torch.save({"generator": {"dict.weight": torch.ones(3)}}, file)
    check("holds no generator")
    torch.save({"model": {}}, file)
    check(r"it holds \['model'\]")
    torch.save({"generator": {"dict.weight": torch.ones(12, 8), "a.weight_v": torch.ones(2, 2)}}, file)
    check("a.weight_v has no weight_g")
    torch.save({"generator": {}, "steps": evil(tmp_path / "ran")}, file)
    check("posix.system")
    assert not (tmp_path / "ran").exists()
