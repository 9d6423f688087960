"""The release format: a trained MoST and its codec as one small folder that the Auto classes load.

    config.json, generation_config.json, processor_config.json, tokenizer and chat template: as `save_pretrained` does
    model.safetensors.index.json    which file holds which tensor; the audio encoder's lie in the codec's file
    model-*.safetensors             weights: `NAME:int8` with `NAME:scale`, or NAME itself
    codec/                          as `Codec.save` writes it, in float16

`write.py` makes it, `loading.py` is what transformers reads it by, `int8.py` the rounding between.
"""
