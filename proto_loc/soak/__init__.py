"""``loc soak``: readers of every kind query while versions are published, for hours.

Every answer is compared with the versions that were published: it must be whole, and its age is
measured. Processes are sampled meanwhile, and their slopes say which one leaks.
"""
