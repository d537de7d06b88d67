"""Other systems' recordings, found by their magic."""
