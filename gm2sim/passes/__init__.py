"""The two passes of the reconstruction: constants and quality from the raw data, then everything with them."""
