"""Which methods of which library are memory operations: one small table per library, no third-party import."""
