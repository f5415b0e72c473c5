"""From decoded frames to encoded packets of cleared ones: analysis, gate, encoder."""
