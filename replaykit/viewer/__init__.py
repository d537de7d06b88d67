"""A recording in a browser: comes with the viewer."""
