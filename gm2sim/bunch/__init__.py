"""Files of muons in every known form, to and from the ring's coordinates; the Bunch of people is in gm2sim.muons."""
