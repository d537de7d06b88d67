"""A recording is a regression test: what the pytest plugin, unittest and the command line are made of."""
