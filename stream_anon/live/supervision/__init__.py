"""Which processes there are, who is joined with whom, and what becomes of one that dies."""
