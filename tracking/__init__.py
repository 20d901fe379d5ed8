"""Muons and their spins, turn by turn: bunch, symplectic step, spin step, apertures, observers, optics."""
