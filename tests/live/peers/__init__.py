"""Cameras, servers and players on the loopback, with the faults that they have."""
