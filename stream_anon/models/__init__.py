"""Networks: their weights, the engine that runs them, and what goes in and comes out."""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("weights")
"""Where the weights lie that this project trained itself."""
