"""One file for each figure that is quoted."""
