"""Pixel work that has a CUDA source and, beside it, a NumPy twin that gives the same bits."""
