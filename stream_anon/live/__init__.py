"""Cameras in, anonymized streams out, for months: readers, painters and writers in processes."""
