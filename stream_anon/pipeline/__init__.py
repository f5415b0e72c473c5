"""Stages, the gate and its ladder, and the report of a run."""
