"""Who is where over time: association, trajectories, look-back, shot boundaries."""
