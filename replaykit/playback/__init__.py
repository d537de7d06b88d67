"""Recording -> answers."""
