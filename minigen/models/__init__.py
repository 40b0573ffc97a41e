"""The models, one chapter a file."""
