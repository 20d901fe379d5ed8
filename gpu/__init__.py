"""Where and how numbers are computed: kernels for CPU and GPU, random numbers, compiled code, devices.

Start at `gpu.kernel`: `scalar` and `Kernel`. `gpu.rng` gives random numbers, `gpu.fastmath` functions that
vectorise. numba is loaded by those modules, not here.
"""
