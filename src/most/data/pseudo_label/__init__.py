"""Recorded speech without transcripts, written down by recognisers and marked so (verb `pseudo-label`)."""
