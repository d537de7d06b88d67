"""Asking: from a question to an answer that stands on frames, by one of several models, whole or in pieces."""
