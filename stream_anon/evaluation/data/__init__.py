"""What is attacked: faces, clips, pairs, the conditions they are anonymised under."""
