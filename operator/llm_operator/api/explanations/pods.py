"""The reasons of pods that are not ready."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, warning

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "PodsNotReady": warning(
        "Fewer pods are ready than asked, and nothing is known to be wrong with the others.",
        "Wait; status.pods and the log of the pod say how far it is.",
    ),
    "ImagePullFailed": warning(
        "The kubelet cannot pull the image.",
        "Correct server.image, or add podTemplate.spec.imagePullSecrets.",
    ),
    "Unschedulable": warning(
        "No node takes the pod: selectors, affinity, taints or CPU do not fit.",
        "Compare podTemplate.spec and resources.requests with `kubectl describe nodes`.",
    ),
    "InsufficientAccelerator": warning(
        "No node has a free accelerator of accelerator.resourceName.",
        "Add nodes, free one, or use rollout.strategy Recreate, which needs no second one.",
    ),
    "InsufficientMemory": warning(
        "No node has as much free memory as resources asks for.",
        "Lower resources.requests.memory, or add a node that has it.",
    ),
    "VolumeNotBound": warning(
        "A PersistentVolumeClaim is missing or not bound, or cannot be mounted.",
        "Look at it with `kubectl describe pvc`.",
    ),
    "QuotaExceeded": warning(
        "A quota or an admission policy of the namespace refuses the pods.",
        "Look at `kubectl describe quota` and at the policy that the message names.",
    ),
    "SecretMissing": warning(
        "A Secret, or a key of it, that the pod needs does not exist.",
        "Create the Secret that the message names in the resource's namespace.",
    ),
    "ConfigMapMissing": warning(
        "A ConfigMap, or a key of it, that the pod needs does not exist.",
        "Create the ConfigMap that the message names in the resource's namespace.",
    ),
    "CrashLooping": warning(
        "The server exits again and again, without saying why in a form that is known.",
        "Read the log of its last run: `kubectl logs --previous` of the pod.",
    ),
    "OutOfMemory": warning(
        "The server needs more memory than the container or the device has.",
        "Raise resources.limits.memory, or lower maxModelLen or batching.maxBatchSize.",
    ),
    "ModelNotFound": warning(
        "model.source names no model, file or revision that exists.",
        "Correct model.source; a private repository needs model.credentialsSecretRef.",
    ),
    "ModelUnauthorized": warning(
        "The source refuses the token, or asks for one.",
        "Put a token with access to the model into the Secret of model.credentialsSecretRef.",
    ),
    "ModelSourceUnavailable": warning(
        "The source cannot be reached, or fails.",
        "Check the network, the proxy and HF_ENDPOINT in server.env; it is tried again.",
    ),
    "ModelUnsupported": warning(
        "The files of the model are of no kind that the server can run.",
        "Choose a causal language model in the Hugging Face layout.",
    ),
    "InvalidServerSettings": warning(
        "The server refuses a flag or a variable.",
        "Correct server.args or server.env as the message says.",
    ),
    "NoDevice": warning(
        "The server was given an accelerator, but sees none that works.",
        "Check driver and device plugin of the node, and that server.image is a CUDA build.",
    ),
    "DiskFull": warning(
        "The model does not fit on the cache volume.", "Give model.cache more room."
    ),
    "Unknown": warning(
        "The pod fails for a reason that is not known here.",
        "Read the message, and `kubectl describe pod` of the pod.",
    ),
}
