"""Settings of the libraries that all tests share."""

from hypothesis import settings

# Machines that run these tests are shared: an example may wait for the CPU, which proves nothing.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
