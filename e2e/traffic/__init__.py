"""Traffic from inside the cluster: the program in the client pod and the harness that runs it."""
