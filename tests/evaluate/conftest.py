"""A speaker model of random weights, in the folder that transformers reads."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def tiny_xvector(tmp_path_factory):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForXVector

    folder = tmp_path_factory.mktemp("speakers") / "tiny-xvector"
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_kernel=(10, 3), conv_stride=(5, 64), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, tdnn_dim=(8, 8, 8, 8, 16), xvector_output_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    Wav2Vec2ForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
