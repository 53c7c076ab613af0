"""``spec.model``: which model is served, from where, under which name."""

import re
from typing import Annotated, Final

from pydantic import Field

from llm_operator.api.schema import (
    ApiModel,
    ObjectName,
    Quantity,
    Rule,
    SecretKey,
    exactly_one,
    matches,
)
from llm_server import contract

_SOURCE_FORMS: Final = "hf://org/name[@revision], pvc://claim/path, builtin://name or file:///path"
_SOURCE_PATTERN: Final = "|".join(
    re.sub(r"\?P<\w+>", "?:", pattern.pattern) for pattern in contract.SOURCE_PATTERNS.values()
)


class KeyReference(ApiModel):
    """One key of a Secret of the resource's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: SecretKey
    """Key in the Secret."""


class CacheEmptyDir(ApiModel):
    """A cache that lives and dies with the pod."""

    empty_is_meant = True

    size_limit: Quantity | None = None
    """The most that the cache may hold; the pod is evicted beyond. Absent: no limit."""


class CacheClaim(ApiModel):
    """A PersistentVolumeClaim that keeps downloaded models."""

    claim_name: ObjectName
    """Name of the claim; several pods share it if its access mode allows that."""


class Cache(ApiModel):
    """Where downloaded models are kept."""

    rules = (exactly_one("persistentVolumeClaim", "emptyDir"),)

    persistent_volume_claim: CacheClaim | None = None
    """A claim: a pod that starts again finds the model there."""
    empty_dir: CacheEmptyDir | None = None
    """A directory of the pod: each new pod downloads the model."""


class ServedModel(ApiModel):
    """The model that is served."""

    rules = (
        matches("source", _SOURCE_PATTERN, _SOURCE_FORMS),
        Rule(
            "source",
            "must have no part '..' in its path",
            r"!has(self.source) || !self.source.matches(r'(^|/)\.\.(/|$)')",
            lambda self: ".." not in self.source.split("/"),
        ),
        matches(
            "servedName",
            "[A-Za-z0-9][A-Za-z0-9._:/-]*",
            "made of letters, digits and . _ : / -, beginning with a letter or digit",
        ),
    )

    source: Annotated[str, Field(min_length=1, max_length=1024)]
    """Where the model comes from: hf://org/name[@revision] (a Hugging Face hub),
    pvc://claim/path (a PersistentVolumeClaim), builtin://name (in the server's image),
    or file:///path (in the server's image or a volume of podTemplate)."""
    served_name: (
        Annotated[str, Field(min_length=1, max_length=contract.SERVED_NAME_CHARS_MAX)] | None
    ) = None
    """Name that requests call the model by. Absent: the name of the resource."""
    credentials_secret_ref: KeyReference | None = None
    """Secret with the hub's access token. Absent: no token."""
    dtype: contract.Dtype | None = None
    """Number format of the weights. Absent: Auto, which is the format that the model was saved in
    on an accelerator, and on a CPU Float32 or BFloat16, by a measurement at the start."""
    max_model_len: (
        Annotated[int, Field(strict=True, ge=contract.MODEL_LEN_MIN, le=contract.MODEL_LEN_MAX)]
        | None
    ) = None
    """Longest prompt and answer together, in tokens. Absent: the model's own limit."""
    cache: Cache | None = None
    """Where downloads are kept. Absent: an emptyDir without limit."""
