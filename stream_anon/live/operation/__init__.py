"""What an operator sees: log lines, counters, a page."""
