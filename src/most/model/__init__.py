"""The model. Importing this registers it with transformers: AutoConfig, AutoModel, AutoModelForMultimodalLM,
AutoModelForSpeechSeq2Seq."""

from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq, AutoProcessor

from most.model.configuration import MostConfig
from most.model.legal import LegalTokens
from most.model.modeling import MostForConditionalGeneration, MostOutput
from most.model.partition import ExpertPartition
from most.model.processing import MostProcessor

AutoConfig.register(MostConfig.model_type, MostConfig, exist_ok=True)
for _auto in (AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq):
    _auto.register(MostConfig, MostForConditionalGeneration, exist_ok=True)
AutoProcessor.register(MostConfig, MostProcessor, exist_ok=True)

__all__ = [
    "ExpertPartition",
    "LegalTokens",
    "MostConfig",
    "MostForConditionalGeneration",
    "MostOutput",
    "MostProcessor",
]
