"""What a stranger notices about a new face, measured."""
