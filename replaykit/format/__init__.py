"""Bytes <-> values, pure: no files, no clock, no threads."""
