"""Calls -> store."""
