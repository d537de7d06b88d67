"""A recording's actions in other formats."""
