"""For users and plug-in authors: what a store has to pass."""
