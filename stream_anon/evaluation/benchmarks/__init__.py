"""Speed and memory beside a bare transcode and beside other tools."""
