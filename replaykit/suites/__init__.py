"""Replays of many sessions at once."""
