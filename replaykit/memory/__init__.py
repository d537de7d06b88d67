"""The embedded memory."""
