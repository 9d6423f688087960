"""Loading checkpoints by folder or hub id, with errors that say what to give instead of a stack of library frames.

Also where things lie: the model that ships with the package, the codec that a model brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, AutoProcessor, AutoTokenizer

from most.errors import MostError
from most.model.modeling import MostForConditionalGeneration
from most.model.processing import MostProcessor
from most.speech.codec import default_codec_dir


def load_most(source: str | Path, **load: Any) -> tuple[MostForConditionalGeneration, MostProcessor]:
    """A MoST and its processor.

    Args:
        load: for `from_pretrained`, such as `distributed_config`.

    Raises:
        MostError: no such folder or hub id, a checkpoint that is no MoST, or one whose weights do not fit its config.
    """
    model = _load(lambda s: AutoModelForMultimodalLM.from_pretrained(s, **load), "model", source)
    if not isinstance(model, MostForConditionalGeneration):
        raise MostError("model", source, f"is a {type(model).__name__}; convert it with `most convert`")
    return model, _load(AutoProcessor.from_pretrained, "model", source)


def load_backbone(source: str | Path) -> tuple[Any, Any]:
    """A transformers language model, in its checkpoint's dtype, and its tokenizer. Raises MostError as `load_most`."""
    model = _load(lambda s: AutoModelForCausalLM.from_pretrained(s, dtype="auto"), "source", source)
    return model, _load(AutoTokenizer.from_pretrained, "source", source)


def default_model_dir() -> Path:
    """The model that ships with the package.

    Raises:
        MostError: this installation has none.
    """
    folder = Path(__file__).resolve().parent.parent / "assets" / "nano"
    if not (folder / "config.json").is_file():
        remedy = "no trained model ships with this installation; name one with --model, or train one with `most train`"
        raise MostError("model", folder, remedy)
    return folder


def codec_dir_of(source: str | Path) -> Path:
    """The codec that a model's folder or hub id brings along (a release does), or else the shipped one.

    Raises:
        MostError: neither folder nor hub id, or a codec that is not all there.
    """
    folder = Path(source)
    if not folder.is_dir():
        with _explained("model", source):
            folder = Path(snapshot_download(str(source), allow_patterns="codec/*"))
    own = folder / "codec"
    if not own.is_dir():
        return default_codec_dir()
    if not (own / "codec.json").is_file():
        raise MostError("codec", own, "has no codec.json; copy the whole folder, or name another codec")
    return own


def _load(load: Callable[[Any], Any], field: str, source: str | Path) -> Any:
    with _explained(field, source):
        return load(str(source))


@contextmanager
def _explained(field: str, source: str | Path) -> Iterator[None]:
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise MostError(field, source, "holds no config.json; give the folder of a checkpoint")
    try:
        yield
    except MostError:
        raise
    except Exception as e:  # transformers, safetensors and the hub client raise many kinds
        if not Path(source).exists():
            raise MostError(field, source, "is no folder here, and no hub id that can be reached") from e
        reason = str(e).strip().splitlines()
        raise MostError(field, source, f"cannot be loaded ({reason[0] if reason else type(e).__name__})") from e
