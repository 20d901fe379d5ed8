"""Many runs under a batch system: what is to be made, in which shards, what became of each, and proof of it.

A *campaign* is a TOML file. Its *runs* have numbers and configurations; its *stages* (simulate, reconstruct, report)
turn a run into files; a *shard* is the smallest piece of a stage that is made, retried and verified on its own: a
subrun of a run when simulating, a whole run afterwards. *Jobs* of the batch system are farms of ranks that take shards.
"""
