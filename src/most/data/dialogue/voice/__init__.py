"""The audio half of stage-2 dialogues (paper, stage 2): voices, overlapping speech, a quality gate, manifests.

`pipeline.speak` is the whole; `timeline` says who speaks when; a voice is anything that fits `seam.Synthesizer`.
"""
