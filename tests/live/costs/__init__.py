"""Where processor time goes, measured so that a busy machine does not matter."""
