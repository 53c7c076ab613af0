"""The reasons of pods that have a node and are not ready."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import (
    Explanation,
    final,
    final_when_repeated,
    warning,
)

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "PodsNotReady": warning(
        "Fewer pods are ready than asked, and nothing is known to be wrong with the others.",
        "Wait; status.pods and the log of the pod say how far it is.",
    ),
    "ImageNotFound": final(
        "The registry does not have the image or its tag.", "Correct server.image."
    ),
    "ImageUnauthorized": final(
        "The registry does not give the image: credentials are missing or wrong.",
        "Correct server.image, or add podTemplate.spec.imagePullSecrets.",
    ),
    "ImageNameInvalid": final("server.image is no valid reference.", "Correct server.image."),
    "ImagePlatformMismatch": final(
        "The image is made for another kind of processor than the node's.",
        "Build server.image for the node, or choose nodes by podTemplate.spec.nodeSelector.",
    ),
    "RegistryUnavailable": warning(
        "The registry cannot be reached, fails, or limits pulls.",
        "Check its name, certificate and limits; the pull is tried again.",
    ),
    "ImagePullFailed": warning(
        "The kubelet cannot pull the image.",
        "Read the message; the pull is tried again.",
    ),
    "SandboxFailed": warning(
        "The node cannot prepare the pod's sandbox or its network.",
        "Look at the network plugin and the container runtime of the node.",
    ),
    "ContainerStartFailed": final_when_repeated(
        "The container runtime cannot make or start the container.",
        "Check that server.image is the bundled server or a build of it.",
    ),
    "CrashLooping": final_when_repeated(
        "The server exits again and again, without saying why in a form that is known.",
        "Read the log of its last run: `kubectl logs --previous` of the pod.",
    ),
    "NativeCrash": final_when_repeated(
        "The server crashes in native code: a signal such as SIGSEGV or SIGILL ended it.",
        "Check that server.image fits the node's processor and driver.",
    ),
    "Killed": final_when_repeated(
        "A signal from outside ended the server, and not for the container's memory limit.",
        "Look at the node: its own memory, its log, and who else ends processes there.",
    ),
    "OutOfMemory": final_when_repeated(
        "The server needs more memory than the container or the device has.",
        "Raise resources.limits.memory, or lower maxModelLen or batching.maxBatchSize.",
    ),
    "LivenessProbeFailed": final_when_repeated(
        "The kubelet restarts the server because it makes no progress.",
        "Read the log of its last run: `kubectl logs --previous` of the pod.",
    ),
    "StartupProbeFailed": warning(
        "The container runs, but nothing in it answers the probes.",
        "Check that server.image is the bundled server or a build of it, and read its log.",
    ),
    "ReadinessProbeFailed": warning(
        "The server has started, but says that it cannot take requests.",
        "Read the log of the pod.",
    ),
    "ModelNotFound": final(
        "spec.model.source names no model, file or revision that exists.",
        "Correct spec.model.source; a private repository needs spec.model.credentialsSecretRef.",
    ),
    "ModelUnauthorized": final(
        "The source refuses the token, or asks for one.",
        "Put a token with access to the model into the Secret of model.credentialsSecretRef.",
    ),
    "ModelSourceUnavailable": warning(
        "The source cannot be reached, or fails.",
        "Check the network, and HF_ENDPOINT, proxy and SSL_CERT_FILE in server.env; it is retried.",
    ),
    "ModelUnsupported": final(
        "The files of the model are of no kind that the server can run.",
        "Choose a causal language model in the Hugging Face layout.",
    ),
    "InvalidServerSettings": final(
        "The server refuses a flag or a variable.",
        "Correct server.args or server.env as the message says.",
    ),
    "NoDevice": final_when_repeated(
        "The server was given an accelerator, but sees none that works.",
        "Check driver and device plugin of the node, and that server.image is a CUDA build.",
    ),
    "DiskFull": final_when_repeated(
        "The model does not fit on the cache volume.", "Give model.cache more room."
    ),
    "Unknown": warning(
        "The pod fails for a reason that is not known here.",
        "Read the message, and `kubectl describe pod` of the pod.",
    ),
}
