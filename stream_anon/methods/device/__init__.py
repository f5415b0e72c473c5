"""Methods whose work is done by kernels, where the frames lie."""
