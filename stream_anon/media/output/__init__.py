"""Cleared frames out: encoders, containers, the muxer, the sink."""
