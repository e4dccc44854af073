"""Log formats: one reader per log shape, all passing the same conformance suite."""
