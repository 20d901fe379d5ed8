"""Positrons to the detector face, showers, SiPM pulses and digitised waveforms."""
