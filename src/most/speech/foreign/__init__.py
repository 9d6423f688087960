"""Speech parts made elsewhere (fairseq, scikit-learn, speech-resynthesis): read by explicit commands, without running
code of the file. What is written is MoST's own: transformers' names, JSON and safetensors."""
