"""Muon decay: positron energy and direction from the muon's momentum and spin."""
