"""Files and streams in: probing, demuxing, decoding."""
