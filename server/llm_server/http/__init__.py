"""The HTTP edge: bytes in and out, schemas, probes; holds no generation logic."""
