"""From figures to JSON, Markdown, one HTML page and contact sheets."""
