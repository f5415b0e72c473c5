"""Who attacks: recognisers, and networks that learn from our own output."""
