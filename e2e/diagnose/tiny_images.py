"""Images of a few hundred bytes whose one program does one wrong thing; made and pushed here.

The programs are x86-64 machine code behind an ELF header. The registry is asked from inside the
cluster's network by ``push``, which needs the standard library only.
"""

import base64
import hashlib
import io
import json
import struct
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.cluster.engine import REGISTRY
from e2e.story import Cluster

LAST_WORDS: Final = "the disk is on fire"
REPOSITORY: Final = f"{REGISTRY}/e2e-diagnose"
_PUSH: Final = Path(__file__).with_name("push.py")
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"


def _reference(tag: str) -> str:
    return f"{REPOSITORY}:{tag}"


GARBAGE: Final = _reference("garbage")
NO_PROGRAM: Final = _reference("no-program")
SEGFAULT: Final = _reference("segfault")
ILLEGAL: Final = _reference("illegal")
EXITS: Final = _reference("exits")
IDLE: Final = _reference("idle")
OTHER_PLATFORM: Final = _reference("other-platform")

_READ_ADDRESS_0: Final = bytes.fromhex("488b042500000000")
_UNDEFINED: Final = bytes.fromhex("0f0b")
_PAUSE_FOR_EVER: Final = bytes.fromhex("b8220000000f05ebf7")
_WRITE_TO_STDERR: Final = bytes.fromhex("b801000000bf02000000")
_SYSCALL: Final = bytes.fromhex("0f05")
_EXIT_3: Final = bytes.fromhex("b83c000000bf030000000f05")


def _say_and_exit(words: str) -> bytes:
    told = words.encode() + b"\n"
    load_length = b"\xba" + struct.pack("<i", len(told))
    after = load_length + _SYSCALL + _EXIT_3
    load_address = bytes.fromhex("488d35") + struct.pack("<i", len(after))
    return _WRITE_TO_STDERR + load_address + after + told


def _program(code: bytes) -> bytes:
    """Wrap machine code as a static ELF program for Linux on x86-64."""
    base, header, program_header = 0x400000, 64, 56
    entry, size = base + header + program_header, header + program_header + len(code)
    identity = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    fields = (2, 62, 1, entry, header, 0, 0, header, program_header, 1, 0, 0, 0)
    segment = (1, 5, 0, base, base, size, size, 0x1000)
    elf = struct.pack("<HHIQQQIHHHHHH", *fields) + struct.pack("<IIQQQQQQ", *segment)
    return identity + elf + code


PROGRAMS: Final[dict[str, bytes | None]] = {
    "garbage": b"\x7fELF" + bytes(60),
    "no-program": None,
    "segfault": _program(_READ_ADDRESS_0),
    "illegal": _program(_UNDEFINED),
    "exits": _program(_say_and_exit(LAST_WORDS)),
    "idle": _program(_PAUSE_FOR_EVER),
}
"""What each image runs, by its tag; None: nothing."""


@dataclass(slots=True)
class _Upload:
    """Blobs by digest and manifests by tag or digest, in the order of upload."""

    blobs: dict[str, str] = field(default_factory=dict)
    manifests: list[dict[str, str]] = field(default_factory=list)

    def blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Add a blob; return its descriptor."""
        self.blobs[_digest(content)] = base64.b64encode(content).decode()
        return _descriptor(content, media_type)

    def manifest(self, reference: str, content: bytes, media_type: str) -> None:
        """Add a manifest."""
        encoded = base64.b64encode(content).decode()
        entry = {"reference": reference, "mediaType": media_type, "content": encoded}
        self.manifests.append(entry)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _layer(program: bytes | None) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name, content in (("program", program), ("about", b"made for a test\n")):
            if content is not None:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
    return layer.getvalue()


def _image(upload: _Upload, program: bytes | None, architecture: str) -> bytes:
    layer = _layer(program)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": upload.blob(json.dumps(config).encode(), _CONFIG),
        "layers": [upload.blob(layer, _LAYER)],
    }
    return json.dumps(manifest).encode()


def _upload() -> _Upload:
    upload = _Upload()
    for tag, program in PROGRAMS.items():
        upload.manifest(tag, _image(upload, program, "amd64"), _MANIFEST)
    other = _image(upload, None, "s390x")
    upload.manifest(_digest(other), other, _MANIFEST)
    platform = {"architecture": "s390x", "os": "linux"}
    entry = {**_descriptor(other, _MANIFEST), "platform": platform}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
    upload.manifest("other-platform", json.dumps(index).encode(), _INDEX)
    return upload


def push_tiny_images(cluster: Cluster) -> None:
    """Have all of them in the cluster's registry."""
    upload = _upload()
    order = {"blobs": upload.blobs, "manifests": upload.manifests}
    url = "http://{}/v2/{}".format(*REPOSITORY.split("/"))
    cluster.backend.run(sys.executable, str(_PUSH), url, stdin=json.dumps(order))
