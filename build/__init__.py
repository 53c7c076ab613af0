"""Programs that run inside the image builds, and only there."""
