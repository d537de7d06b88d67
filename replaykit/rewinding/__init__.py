"""Checkpoints of stores that are not ours: what they held is kept beside the recordings and can be put back."""
