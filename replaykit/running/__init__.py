"""Whole programs: recorded or played without a change to them, with the processes that they start."""
