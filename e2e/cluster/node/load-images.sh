#!/bin/bash
# Runs inside the node image's build: put the images of an archive into containerd's content store.
# Nothing is unpacked here: that needs mounts, and the node does it when it first starts.
set -euo pipefail
work=$(mktemp -d)
cat > "$work/config.toml" <<C
version = 2
root = "/var/lib/containerd"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/containerd.sock"
C
containerd -c "$work/config.toml" > "$work/log" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  ctr -a "$work/containerd.sock" version > /dev/null 2>&1 && break
  sleep 0.1
done
ctr -a "$work/containerd.sock" -n k8s.io images import --no-unpack "$1" || { cat "$work/log"; exit 1; }
