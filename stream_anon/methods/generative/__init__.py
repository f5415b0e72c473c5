"""What `identity` and `dp-image` share: codes, networks, eligibility, blending."""
