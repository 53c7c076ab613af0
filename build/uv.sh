#!/bin/sh
# `sh build/uv.sh DIRECTORY` makes there the environment of uv, which makes all others.
# The first thing that runs on a new machine, where Python itself may be missing: hence a shell
# script. Each refusal is two lines: what is wrong, and what to do.
set -eu
directory=$1
minimum=$(sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
packages="python3 python3-venv"

refuse() {
    printf 'error: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

last_line() { printf '%s\n' "$1" | tail -n 1; }

has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

install_python() {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] ||
        refuse "python3 is missing, or cannot make environments (modules venv and ensurepip)" \
            "as root on Debian: apt-get install $packages; elsewhere install Python >= $minimum"
    echo "env: Debian packages $packages"
    export DEBIAN_FRONTEND=noninteractive
    said=$( (apt-get update && apt-get install --yes --no-install-recommends $packages) 2>&1) ||
        refuse "apt-get cannot install $packages: $(last_line "$said")" \
            "check the network and /etc/apt/sources.list, then run the same command again"
    has_venv || refuse "$(command -v python3) has no venv, though $packages are installed" \
        "put Debian's /usr/bin first on PATH"
}

has_venv || install_python

python3 -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$minimum'.split('.'))))" ||
    refuse "Python >= $minimum is needed, $(command -v python3) is $(python3 -V)" \
        "install a newer one and put it first on PATH under the name python3"

python3 -m venv "$directory"
said=$("$directory/bin/python" -m pip install -q --require-hashes -r requirements/uv.txt 2>&1) ||
    refuse "uv cannot be installed from the package index: $(last_line "$said")" \
        "check the network; behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL and UV_DEFAULT_INDEX"
