#!/bin/bash
# Runs inside the node image's build: what kind's own Dockerfile does after copying its files, for
# Debian's containerd, plus what a machine without CAP_SYS_RESOURCE needs.
# The environment gives KUBERNETES_VERSION and PAUSE_IMAGE.
set -euo pipefail

chmod 755 /kind /kind/bin /kind/bin/* /usr/local/bin/*
mkdir -p /etc/kubernetes/manifests /opt/cni
echo -n "$KUBERNETES_VERSION" > /kind/version
ln -sf kubernetes /usr/bin/kubelet
ln -sf kubernetes /usr/bin/kubectl
ln -sfn /usr/lib/cni /opt/cni/bin
for program in containerd ctr containerd-shim-runc-v2; do   # kind's unit calls /usr/local/bin
  ln -sf "/usr/bin/$program" "/usr/local/bin/$program"
done

# These settings are the machine's, not the node's.
rm -f /usr/lib/sysctl.d/*

# A container has no hardware to settle and nobody to log in.
units=/lib/systemd/system
rm -f "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service \
  "$units"/{multi-user,local-fs,basic}.target.wants/* /etc/systemd/system/*.wants/* \
  "$units"/sockets.target.wants/*{udev,initctl}*
echo ReadKMsg=no >> /etc/systemd/journald.conf
ln -sf /lib/systemd/systemd /sbin/init
systemctl -q enable kubelet containerd undo-mount-hacks
systemctl -q mask systemd-binfmt

# Without CAP_SYS_RESOURCE no sandbox may lower its OOM score, and none would start.
sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
  -e "s#sandbox_image = .*#sandbox_image = \"$PAUSE_IMAGE\"#" \
  /etc/containerd/config.toml
ctr oci spec \
  | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
  > /etc/containerd/cri-base.json
