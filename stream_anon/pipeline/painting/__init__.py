"""What is painted on a frame, and whether it may leave: the compositor and what it asks."""
