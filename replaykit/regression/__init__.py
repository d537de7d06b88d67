"""A recording as a regression test: played by a test, rewritten on demand, reviewed by a person."""
