"""Reads the sessions in memvid's own files; layouts and terms are those of ``docs/reference/memvid.md``."""
