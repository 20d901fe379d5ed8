"""Speeds, printed with the limits of the machine measured in the same run; long checks of accuracy."""
