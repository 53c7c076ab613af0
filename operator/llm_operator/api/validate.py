"""The rules of a resource that types and bounds cannot say, applied by the operator.

First the mirror of the CEL rules, for objects that are older than the rule. Then what only the
operator can see: flags, variables, names and paths that it renders itself. Pure; ``reconcile``
turns violations into a condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llm_operator.api.reasons import Reason
from llm_operator.api.resource import LLMDeployment
from llm_operator.api.schema import ApiModel
from llm_operator.api.spec import Spec
from llm_server import contract

SETTING_FIELDS: Final = {
    contract.Setting.MODEL: "spec.model.source",
    contract.Setting.SERVED_NAME: "spec.model.servedName",
    contract.Setting.DTYPE: "spec.model.dtype",
    contract.Setting.MAX_MODEL_LEN: "spec.model.maxModelLen",
    contract.Setting.CACHE_DIR: "spec.model.cache",
    contract.Setting.DEVICE: "spec.accelerator",
    contract.Setting.MAX_BATCH_SIZE: "spec.server.batching.maxBatchSize",
    contract.Setting.MAX_QUEUED_REQUESTS: "spec.server.maxQueuedRequests",
    contract.Setting.REQUEST_TIMEOUT_SECONDS: "spec.server.requestTimeoutSeconds",
    contract.Setting.DRAIN_SECONDS: "spec.server.drainSeconds",
    contract.Setting.API_KEYS_DIR: "spec.server.apiKeysSecretRef",
}
"""The field that stands for a setting; settings without one are the operator's alone."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not allowed."""

    reason: Reason
    field: str
    """Path from the root, e.g. ``spec.server.args[0]``."""
    message: str
    allowed: str
    """What to write instead."""

    def __str__(self) -> str:
        """Return the sentence that a condition carries."""
        return f"{self.field}: {self.message}" + (f"; {self.allowed}" if self.allowed else "")


@dataclass(frozen=True, slots=True)
class RenderedNames:
    """Names in the pod template that the renderer takes for itself."""

    volumes: frozenset[str]
    mount_paths: frozenset[str]


def find_violations(resource: LLMDeployment, rendered: RenderedNames) -> tuple[Violation, ...]:
    """Return everything that is not allowed, in the order of the fields."""
    return (
        *_broken_rules(resource, ""),
        *_owned_flags(resource.spec),
        *_owned_variables(resource.spec),
        *_owned_names(resource.spec, rendered),
    )


def _broken_rules(value: object, path: str) -> Iterator[Violation]:
    match value:
        case ApiModel():
            yield from _broken_rules_of_model(value, path)
        case tuple():
            for index, item in enumerate(value):
                yield from _broken_rules(item, f"{path}[{index}]")


def _broken_rules_of_model(model: ApiModel, path: str) -> Iterator[Violation]:
    prefix = f"{path}." if path else ""
    for rule in model.rules:
        if not rule.holds(model):
            field = f"{prefix}{rule.field}".rstrip(".") or "metadata.name"
            yield Violation(Reason.SPEC_INVALID, field, rule.message, "")
    for name, field_info in type(model).model_fields.items():
        yield from _broken_rules(getattr(model, name), f"{prefix}{field_info.alias or name}")


def _owned_flags(spec: Spec) -> Iterator[Violation]:
    flags = {setting.flag: setting for setting in contract.Setting}
    for index, argument in enumerate(spec.server.args if spec.server else ()):
        flag = argument.split("=", maxsplit=1)[0].strip().replace("_", "-")
        if flag in flags:
            yield _owned_setting(f"spec.server.args[{index}]", flag, flags[flag])


def _owned_variables(spec: Spec) -> Iterator[Violation]:
    variables = {setting.env: setting for setting in contract.Setting}
    for index, variable in enumerate(spec.server.env if spec.server else ()):
        field = f"spec.server.env[{index}].name"
        if variable.name.upper() in variables:
            yield _owned_setting(field, variable.name, variables[variable.name.upper()])
        if variable.name == contract.CREDENTIALS_ENV and spec.model.credentials_secret_ref:
            message = f"{variable.name} is taken from spec.model.credentialsSecretRef"
            yield Violation(Reason.OWNED_FLAG, field, message, "use one of the two")


def _owned_setting(field: str, given: str, setting: contract.Setting) -> Violation:
    known = SETTING_FIELDS.get(setting)
    allowed = f"use {known}" if known else "leave it out; no field stands for it"
    return Violation(Reason.OWNED_FLAG, field, f"{given} is set by the operator", allowed)


def _owned_names(spec: Spec, rendered: RenderedNames) -> Iterator[Violation]:
    settings = spec.pod_template.spec if spec.pod_template else None
    if settings is None:
        return
    for index, volume in enumerate(settings.volumes):
        if volume.name in rendered.volumes:
            field = f"spec.podTemplate.spec.volumes[{index}].name"
            yield _owned_name(field, volume.name, rendered.volumes)
    for index, mount in enumerate(settings.volume_mounts):
        path = "/" + mount.mount_path.strip("/")
        if path in rendered.mount_paths:
            field = f"spec.podTemplate.spec.volumeMounts[{index}].mountPath"
            yield _owned_name(field, mount.mount_path, rendered.mount_paths)


def _owned_name(field: str, given: str, taken: frozenset[str]) -> Violation:
    message = f"{given} is rendered by the operator"
    return Violation(Reason.OWNED_NAME, field, message, f"use none of {', '.join(sorted(taken))}")
