"""Training of the project's own networks. Needs the ``[train]`` extra."""
