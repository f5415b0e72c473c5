"""Where the faces are: detect, align, track. Knows nothing of video or privacy."""
