"""Frames on a device: NV12 and P010 that kernels read and write."""
