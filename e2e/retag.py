"""Gives an image in the cluster's registry one more tag: the same layers under another reference.

``retag.py IMAGE TAG``, with ``IMAGE`` as ``http://HOST/v2/NAME/manifests/TAG``, runs where the
registry answers; ``retag`` starts it there.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx

if TYPE_CHECKING:  # as a program this file stands alone
    from e2e.cluster import Cluster

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def retag(cluster: "Cluster", reference: str, tag: str) -> str:
    """Return the reference ``HOST/NAME:tag`` of what ``HOST/NAME:other`` is."""
    name, _, present = reference.rpartition(":")
    host, _, repository = name.partition("/")
    image = f"http://{host}/v2/{repository}/manifests/{present}"
    cluster.run(sys.executable, "-I", str(Path(__file__).resolve()), image, tag)
    return f"{name}:{tag}"


def copy_manifest(client: httpx.Client, image: str, tag: str) -> None:
    """Put the manifest of an image, byte for byte, under another tag of its repository."""
    found = client.get(image, headers=[("Accept", each) for each in _MANIFESTS]).raise_for_status()
    told = {"Content-Type": found.headers["Content-Type"]}
    client.put(urljoin(image, tag), content=found.content, headers=told).raise_for_status()


if __name__ == "__main__":
    with httpx.Client(trust_env=False) as registry:  # it is not behind a proxy
        copy_manifest(registry, *sys.argv[1:])
