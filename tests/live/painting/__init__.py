"""What lies behind the reader and before the writers."""
