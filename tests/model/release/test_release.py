"""A release, written and read: rounded by half a step at most, the codec's encoder, and then a model like any other."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMultimodalLM, AutoProcessor

from most.convert.backbone import BackboneRecipe
from most.convert.export import export
from most.convert.info import describe
from most.convert.placement import place_experts
from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.load import codec_dir_of, load_most
from most.model.release.int8 import CODES, SCALES
from most.model.release.loading import ReleaseConfig, ReleaseQuantizer
from most.model.release.pack import planned_bytes, router_weights
from most.model.release.write import INDEX, release, write_model
from most.plan.shape import meta_model
from most.settings import load_recipe
from most.speech.codec import Codec, CodecSettings, default_codec_dir
from most.speech.units import KMeansQuantizer


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def int8(tmp_path_factory, tiny_most: Path, tiny_codec: Path) -> Path:
    return release(tiny_most, tmp_path_factory.mktemp("int8") / "out", codec=tiny_codec, echo=quiet).folder


def load(folder: Path, **how):
    return AutoModelForMultimodalLM.from_pretrained(folder, **how).eval()


def batch(folder: Path):
    content = [{"type": "audio", "audio": torch.linspace(-0.5, 0.5, 8000).numpy()}, {"type": "text", "text": "one two"}]
    return AutoProcessor.from_pretrained(folder)([[{"role": "user", "content": content}]])


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def shouts(caplog):
    """Warnings of transformers and of Python, which there must be none of."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield (
            lambda: (
                [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
                + [str(w.message) for w in caught if not issubclass(w.category, ResourceWarning)]
            )
        )
    logger.removeHandler(caplog.handler)


def test_it_loads_whole_and_quietly(int8: Path, shouts) -> None:
    model, info = AutoModelForMultimodalLM.from_pretrained(int8, output_loading_info=True)
    assert not any(info.values())
    assert shouts() == []
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.audio_encoder.parameters())
    assert not hasattr(model.config, "quantization_config")
    assert not hasattr(model, "hf_quantizer")
    assert not getattr(model, "is_quantized", False)


def test_weights_are_half_a_step_off_at_most(int8: Path, tiny_most: Path) -> None:
    before, after = load(tiny_most), load(int8).state_dict()
    stored = {k: v for f in int8.glob("model-*.safetensors") for k, v in load_file(f).items()}
    kinds = {tuple(v.shape): k for k, v in stored.items() if k.endswith(CODES)}
    assert {len(shape) for shape in kinds} == {2, 3}
    for name, weight in before.state_dict().items():
        if name.startswith("audio_encoder."):
            assert torch.equal(weight.half(), after[name].half())
        elif name + SCALES in stored:
            assert stored[name + CODES].dtype == torch.int8
            assert stored[name + SCALES].shape == (*weight.shape[:-1], 1)
            assert bool(((weight - after[name]).abs() <= stored[name + SCALES] * 0.5001).all()), name
        else:
            assert torch.equal(weight, after[name]), name
    assert planned_bytes(before, "int8", with_encoder=False) == sum(v.nbytes for v in stored.values())
    assert router_weights(before)
    assert all(name in stored for name in router_weights(before))


def test_it_computes_nearly_the_same(int8: Path, tiny_most: Path) -> None:
    inputs, ends = batch(int8), []
    with torch.no_grad():
        for folder in (tiny_most, int8):
            ends.append(load(folder)(**inputs).logits)
    assert 0 < float((ends[0] - ends[1]).abs().mean()) < 0.02 * float(ends[0].std())


def test_the_encoder_is_stored_once_and_is_the_codecs(int8: Path, tiny_codec: Path) -> None:
    index = json.loads((int8 / INDEX).read_text())["weight_map"]
    assert not any("audio_encoder" in name for name in index)
    inner = load(int8).audio_encoder.model.state_dict()
    for codec in (Codec.load(int8 / "codec"), Codec.load(tiny_codec)):
        theirs = codec.encoder.get_submodule("model").state_dict()
        assert inner.keys() == theirs.keys()
        assert all(torch.equal(inner[k].half(), theirs[k].half()) for k in inner)
    assert Codec.load(int8 / "codec").fingerprint == Codec.load(tiny_codec).fingerprint


def test_nothing_is_pickled_and_no_path_is_told(int8: Path, tiny_most: Path) -> None:
    files = [p for p in int8.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".jinja", ".md", ".txt"}
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as f:
                assert f.metadata() in (None, {"format": "pt"})
        else:
            assert str(tiny_most.parent) not in file.read_text(encoding="utf-8")


def test_saved_again_it_is_a_plain_checkpoint(int8: Path, tmp_path: Path) -> None:
    model = load(int8)
    model.save_pretrained(tmp_path)
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())
    plain = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in plain.values()} == {torch.float32}
    assert any(name.startswith("audio_encoder.") for name in plain)
    first, second = model.state_dict(), load(tmp_path).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_it_trains(int8: Path) -> None:
    model, inputs = load(int8).train(), batch(int8)
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) is name.startswith("audio_encoder."), name


def test_other_dtypes(int8: Path) -> None:
    model = load(int8, dtype=torch.bfloat16)
    routers = router_weights(model)  # of some backbones transformers keeps them in float32
    assert {p.dtype for n, p in model.named_parameters() if n not in routers} == {torch.bfloat16}


def test_other_ways_to_load(int8: Path) -> None:
    plain = load(int8).state_dict()
    for model in (load(int8.parent, subfolder=int8.name), load(int8, device_map="cpu")):
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in plain.items())


def test_sharded_loading_is_refused(int8: Path) -> None:
    model = load(int8)
    model.config.distributed_config = object()
    with pytest.raises(MostError, match="loads whole"):
        ReleaseQuantizer(ReleaseConfig())._process_model_before_weight_loading(model)


def test_bf16_keeps_bfloat16_bits(tmp_path: Path, tiny_most: Path, tiny_codec: Path, shouts) -> None:
    folder = release(tiny_most, tmp_path / "out", codec=tiny_codec, weights="bf16", echo=quiet).folder
    before, after = load(tiny_most), load(folder)
    assert shouts() == []
    kept = router_weights(before)
    for name, weight in before.state_dict().items():
        dtype = torch.float16 if name.startswith("audio_encoder.") else torch.bfloat16
        exact = weight if name in kept else weight.to(dtype).float()
        assert torch.equal(after.state_dict()[name], exact), name


def test_a_release_released_is_the_same(int8: Path, tmp_path: Path) -> None:
    again = release(int8, tmp_path / "out", echo=quiet).folder
    for file in int8.glob("model-*.safetensors"):
        before, after = load_file(file), load_file(again / file.name)
        assert before.keys() == after.keys()
        assert all(torch.allclose(before[k].float(), after[k].float(), rtol=1e-6) for k in before)
    assert (again / "config.json").read_text() == (int8 / "config.json").read_text()


def test_an_encoder_of_its_own_is_stored_with_the_model(tmp_path: Path, tiny_most: Path, tiny_codec: Path) -> None:
    other, said = copied(tiny_most, tmp_path), []
    weights = load_file(other / "model.safetensors")
    name = "audio_encoder.model.layers.0.fc1.weight"
    weights[name] = weights[name] + 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    done = release(other, tmp_path / "out", codec=tiny_codec, echo=said.append)
    assert not done.shares_encoder
    assert any("both are stored" in line for line in said)
    assert torch.equal(load(done.folder).state_dict()[name], weights[name].half().float())


def test_it_says_sizes_before_it_writes(tmp_path: Path, tiny_most: Path, tiny_codec: Path) -> None:
    out, seen = tmp_path / "new" / "out", []
    done = release(tiny_most, out, codec=tiny_codec, echo=lambda line: seen.append((line, out.exists())))
    assert [there for line, there in seen if line.startswith(("reads ", "writes "))] == [False, False]
    assert done.n_bytes == sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    assert max(done.errors.values()) < 0.02
    assert not out.with_name("out.part").exists()


def test_texts_of_codec_and_model_come_along(tmp_path: Path, tiny_most: Path, tiny_codec: Path) -> None:
    codec, model = copied(tiny_codec, tmp_path / "a"), copied(tiny_most, tmp_path / "b")
    (codec / "LICENSE-whisper.txt").write_text("MIT")
    (model / "README.md").write_text("a card")
    out = release(model, tmp_path / "out", codec=codec, echo=quiet).folder
    assert (out / "codec" / "LICENSE-whisper.txt").read_text() == "MIT"
    assert (out / "README.md").read_text() == "a card"


def test_info_describes_it(int8: Path, tiny_most: Path) -> None:
    ours, theirs = describe(int8), describe(tiny_most)
    assert ours["parameters"] == theirs["parameters"]
    assert "I8" in ours["dtypes"]
    assert ours["bytes"]["weights"] < theirs["bytes"]["weights"]


def test_from_a_hub_cache(int8: Path, tmp_path: Path, monkeypatch) -> None:
    """As a hub id: transformers finds each file, the codec's too, in its cache; there is no network here."""
    repo = tmp_path / "models--someone--nano"
    shutil.copytree(int8, repo / "snapshots" / ("0" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = load("someone/nano", cache_dir=tmp_path, local_files_only=True)
    here = load(int8).state_dict()
    assert all(torch.equal(here[k], v) for k, v in model.state_dict().items())
    assert codec_dir_of("someone/nano").samefile(repo / "snapshots" / ("0" * 40) / "codec")


@pytest.mark.parametrize("tied", [False, True])
def test_hubert_and_tied_embeddings(tiny, tmp_path: Path, tied: bool, shouts) -> None:
    """HuBERT's names in the codec have no prefix by which to know them."""
    model = tiny.most(tiny.lm(tie_word_embeddings=tied))
    quantizer = KMeansQuantizer(torch.zeros(16), torch.ones(16), torch.randn(tiny.n_units, 16))
    codec = Codec(model.audio_encoder, quantizer, None, CodecSettings())
    codec.save(tmp_path / "codec", torch.float16)
    write_model(tmp_path, model, "int8", codec)
    loaded = load(tmp_path)
    assert shouts() == []
    assert (loaded.get_input_embeddings().weight is loaded.get_output_embeddings().weight) is tied
    for name, weight in model.audio_encoder.state_dict().items():
        assert torch.equal(loaded.audio_encoder.state_dict()[name], weight.half().float()), name
    with torch.no_grad():
        ends = [m(**tiny.batch(m)).logits for m in (model, loaded)]
    assert 0 < float((ends[0] - ends[1]).abs().mean()) < 0.05 * float(ends[0].std())  # a token may change experts


def refused(match: str, *args, **kwargs) -> None:
    with pytest.raises(MostError, match=match):
        release(*args, echo=quiet, **kwargs)


def test_what_is_refused_to_be_written(tmp_path: Path, tiny_most: Path, tiny_codec: Path) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    (full / "a").write_text("kept")
    refused("is there already", tiny_most, full, codec=tiny_codec)
    refused("is there already", tiny_most, full / "a", codec=tiny_codec)
    assert (full / "a").read_text() == "kept"
    refused("did you mean 'int8'", tiny_most, tmp_path / "out", codec=tiny_codec, weights="int4")
    refused("no codec.json", tiny_most, tmp_path / "out", codec=empty)
    refused("no config.json", empty, tmp_path / "out", codec=tiny_codec)
    refused("units", tiny_most, tmp_path / "out")  # the shipped codec's are 500
    other = copied(tiny_most, tmp_path)
    edit(other / "conversion.json", codec="0123")
    refused("0123.*--codec", other, tmp_path / "out", codec=tiny_codec)
    assert not (tmp_path / "out").exists()
    assert release(tiny_most, empty, codec=tiny_codec, echo=quiet).folder == empty


def test_what_is_refused_to_be_read(int8: Path, tmp_path: Path) -> None:
    bad = copied(int8, tmp_path)
    (file,) = bad.glob("model-*.safetensors")
    whole = load_file(file)
    norm = "language_model.model.norm.weight"
    scale = next(k for k in whole if k.endswith(SCALES))
    for change, message in (
        ({norm: None}, r"lacks 1 weights .*norm\.weight"),
        ({norm: torch.ones(3)}, r"differs in 1 weights .*norm\.weight"),
        ({scale: None}, "cannot be loaded"),
        ({"language_model.more": torch.ones(3)}, r"has unknown 1 weights .*more"),
    ):
        weights = {k: v for k, v in {**whole, **change}.items() if v is not None}
        save_file(weights, file, metadata={"format": "pt"})
        with pytest.raises(MostError, match=message):
            load_most(bad)
    save_file(whole, file, metadata={"format": "pt"})
    load_most(bad)
    (bad / "codec" / "encoder" / "model.safetensors").unlink()
    with pytest.raises(MostError, match="cannot be loaded"):
        load_most(bad)


def test_what_needs_plain_weights_says_so(int8: Path, tmp_path: Path) -> None:
    with pytest.raises(MostError, match="is a release"):
        export(int8, tmp_path / "out", "text")
    with pytest.raises(MostError, match="is a release"):
        place_experts(int8, tmp_path / "out")


def test_the_nano_release_fits_in_40_mb() -> None:
    root, codec = Path(__file__).resolve().parents[3], default_codec_dir()
    recipe = load_recipe(BackboneRecipe, root / "recipes" / "nano" / "backbone.yaml", ())
    n_units = json.loads((codec / "units.json").read_text())["n_units"]
    audio = json.loads((codec / "encoder" / "config.json").read_text())
    text = {**recipe.config, "vocab_size": -(-(recipe.vocab_size + n_units + 5) // 64) * 64}
    config = MostConfig(
        text_config=text, audio_config=audio, text_size=recipe.vocab_size, n_units=n_units, audio_stack=2
    )
    weights = planned_bytes(meta_model(config), "int8", with_encoder=False)
    voice = sum(p.stat().st_size for p in codec.rglob("*") if p.is_file())
    tokenizer_and_the_rest = 500_000
    assert weights + voice + tokenizer_and_the_rest <= 40_000_000
