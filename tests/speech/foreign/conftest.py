"""Foreign files made from known models: what fairseq, joblib and speech-resynthesis would have written."""

import argparse
import enum
import os
import sys
import types
from contextlib import contextmanager

import pytest
import torch
from transformers import HubertConfig, HubertModel

from most.speech.foreign.hubert import name_table

CONVS = "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2"


@contextmanager
def modules(**members):
    """Classes under names such as `fairseq_data_Dictionary`: there while a file is written, gone when it is read."""
    before = dict(sys.modules)
    for path, member in members.items():
        *packages, name = path.split("_")
        member.__module__, member.__qualname__ = ".".join(packages), name
        for end in range(1, len(packages) + 1):
            module = sys.modules.setdefault(".".join(packages[:end]), types.ModuleType(packages[end - 1]))
        setattr(module, name, member)
    try:
        yield
    finally:
        for added in set(sys.modules) - set(before):
            del sys.modules[added]


class Evil:
    """A pickle of it, read by pickle, makes a file."""

    def __init__(self, mark, call=os.system):
        self.mark, self.call = mark, call

    def __reduce__(self):
        return self.call, (f"touch {self.mark}" if self.call is os.system else f"open({str(self.mark)!r}, 'w')",)


@pytest.fixture
def evil():
    return Evil


@pytest.fixture
def foreign_modules():
    return modules


@pytest.fixture
def tiny_hubert():
    """A transformers HubertModel and its config: `make(layer_first=True)` is shaped as the large one."""

    def make(*, layer_first=False, strides=(5, 2, 2, 2, 2, 2, 2), kernels=(10, 3, 3, 3, 3, 2, 2), conv=8, **changes):
        torch.manual_seed(1)
        config = HubertConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24,
            conv_dim=[conv] * len(strides), conv_stride=list(strides), conv_kernel=list(kernels),
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, do_stable_layer_norm=layer_first,
            feat_extract_norm="layer" if layer_first else "group", conv_bias=layer_first, mask_time_prob=0.0, **changes,
        )  # fmt: skip
        model = HubertModel(config).eval()
        with torch.no_grad():
            for p in model.parameters():  # Biases and norms away from 0 and 1, so that a swapped pair shows.
                p.add_(0.05 * torch.randn_like(p))
        return model

    return make


@pytest.fixture
def save_hubert(tmp_path):
    """Write a HubertModel as fairseq does; returns the file."""

    def save(model, *, convs=CONVS, form="cfg", normalize=False, legacy=False, extra=None, prefix="", settings=None):
        config = model.config
        table, ours = name_table(config), model.state_dict()
        tensors = {prefix + theirs: ours[name].clone() for theirs, name in table.items()}
        tensors[f"{prefix}mask_emb"] = torch.rand(16)
        if prefix:
            tensors |= {"w2v_encoder.proj.weight": torch.rand(5, 16), "w2v_encoder.proj.bias": torch.rand(5)}
        else:
            tensors |= {
                "final_proj.weight": torch.rand(6, 16), "final_proj.bias": torch.rand(6),
                "label_embs_concat": torch.rand(9, 6),
            }  # fmt: skip
        row = {
            "_name": "hubert", "conv_feature_layers": convs, "encoder_attention_heads": config.num_attention_heads,
            "layer_norm_first": config.do_stable_layer_norm, "activation_fn": "gelu", "extractor_mode": "default",
            "encoder_layers": 3, "label_rate": 50.0,
        } | (settings or {})  # fmt: skip
        task = {"_name": "hubert_pretraining", "sample_rate": 16000, "normalize": normalize}
        Dictionary = type("Dictionary", (), {"__setstate__": None})
        Choices = enum.Enum("Choices", {"static": "static"}, type=str)
        with modules(fairseq_data_dictionary_Dictionary=Dictionary, fairseq_dataclass_constants_Choices=Choices):
            words = Dictionary()
            words.symbols = ["<s>", "</s>"]
            whole = {"model": tensors, "args": None, "cfg": None, "task_state": {"dictionaries": [words]}}
            if form == "args":
                row.pop("_name")
                whole["args"] = argparse.Namespace(arch="hubert", normalize=normalize, sample_rate=16000, **row)
            elif prefix:
                inner = argparse.Namespace(normalize=normalize, **row) if form == "w2v_args" else None
                inner = inner or {"model": row, "task": task}
                whole["cfg"] = {"model": {"_name": "hubert_ctc", "w2v_args": inner}, "task": {"_name": "audio"}}
            else:
                row["mask_selection"] = Choices("static")
                whole["cfg"] = {"model": row, "task": task}
            file = tmp_path / "hubert.pt"
            torch.save(whole | (extra or {}), file, _use_new_zipfile_serialization=not legacy)
        return file

    return save
