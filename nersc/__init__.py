"""Site files, batch templates and container recipes, read by gm2sim.campaign; no library code."""
