"""What needs a real cluster: the local cluster itself, the demo, the end-to-end tests."""
