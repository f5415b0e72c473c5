"""Frames in and out: decoders, planes, streams, encoders. Knows nothing of faces."""
