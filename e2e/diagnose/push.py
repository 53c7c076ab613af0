"""``push.py URL < order.json``: put blobs and manifests into a registry's repository.

Runs where the registry answers, with the standard library only: ``tiny_images`` starts it inside
the cluster's network. ``URL`` is ``http://HOST/v2/NAME``.
"""

import base64
import json
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin

_TIMEOUT_SECONDS = 30


def _send(method: str, url: str, body: bytes = b"", content_type: str = "") -> Any:
    headers = {"Content-Type": content_type or "application/octet-stream"}
    request = urllib.request.Request(url, method=method, data=body, headers=headers)  # noqa: S310  # ours
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310  # as above


def _has(url: str) -> bool:
    try:
        _send("HEAD", url)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return False
    return True


def push(url: str, order: dict[str, Any]) -> None:
    """Upload what the registry lacks."""
    for digest, content in order["blobs"].items():
        if not _has(f"{url}/blobs/{digest}"):
            place = urljoin(url, _send("POST", f"{url}/blobs/uploads/").headers["Location"])
            joint = "&" if "?" in place else "?"
            _send("PUT", f"{place}{joint}digest={digest}", base64.b64decode(content))
    for entry in order["manifests"]:
        body = base64.b64decode(entry["content"])
        _send("PUT", f"{url}/manifests/{entry['reference']}", body, entry["mediaType"])


if __name__ == "__main__":
    push(sys.argv[1], json.load(sys.stdin))
