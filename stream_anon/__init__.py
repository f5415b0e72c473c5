"""A streaming video anonymizer."""
