"""How both generators are trained: the adversarial loop, its losses, its stages."""
