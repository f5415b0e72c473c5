"""From encoded packets to servers, folders and files."""
