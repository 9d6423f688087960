"""The model. Importing this registers it with transformers: AutoConfig, AutoModel, AutoModelForMultimodalLM,
AutoModelForSpeechSeq2Seq, and the way weights of a release are stored."""

from transformers import AutoConfig, AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq, AutoProcessor

from most.model.configuration import MostConfig
from most.model.legal import LegalTokens
from most.model.modeling import MostForConditionalGeneration, MostOutput
from most.model.partition import ExpertPartition
from most.model.processing import MostProcessor
from most.model.release.loading import register as _register_release

AutoConfig.register(MostConfig.model_type, MostConfig, exist_ok=True)
for _auto in (AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq):
    _auto.register(MostConfig, MostForConditionalGeneration, exist_ok=True)
AutoProcessor.register(MostConfig, MostProcessor, exist_ok=True)
_register_release()

__all__ = [
    "ExpertPartition",
    "LegalTokens",
    "MostConfig",
    "MostForConditionalGeneration",
    "MostOutput",
    "MostProcessor",
]
