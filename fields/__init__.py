"""Where am I in the ring -> electric and magnetic field.

`fields.ring` places everything around the ring; `fields.quads` and `fields.storage` hold the fields that
muons feel; `fields.falloff` is the magnet outside the aperture; `fields.total` adds them up at a point.
"""
