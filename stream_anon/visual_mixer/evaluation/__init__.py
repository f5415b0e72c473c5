"""What mixing hides and what it costs: ``python -m stream_anon.visual_mixer.evaluation.run``."""
