"""The metrics, one family a file: pure functions of arrays."""
