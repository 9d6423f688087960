"""MoST: a mixture-of-experts language model that listens and speaks."""
