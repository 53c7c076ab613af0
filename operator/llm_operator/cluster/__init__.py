"""The only IO with Kubernetes: transport, client, cache, lease, events."""
