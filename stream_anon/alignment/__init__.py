"""From a face in a frame to the aligned face space, and what a method must cover there."""
