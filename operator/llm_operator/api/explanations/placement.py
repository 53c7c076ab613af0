"""The reasons of pods that are refused, find no node, or lose it; and of their volumes."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, warning

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "QuotaExceeded": warning(
        "A ResourceQuota of the namespace refuses the pods.",
        "Compare resources and replicas with `kubectl describe quota`.",
    ),
    "LimitRangeViolated": warning(
        "A LimitRange of the namespace refuses the pods.",
        "Set resources within what `kubectl describe limitrange` allows.",
    ),
    "PodSecurityViolated": warning(
        "The PodSecurity level of the namespace refuses the pods.",
        "Take out of podTemplate what the message names; pods as rendered meet `restricted`.",
    ),
    "AdmissionDenied": warning(
        "An admission webhook or policy refuses the pods, or does not answer.",
        "Read the policy or repair the webhook that the message names.",
    ),
    "ServiceAccountMissing": warning(
        "The ServiceAccount of the pods does not exist.",
        "Create it, or correct podTemplate.spec.serviceAccountName.",
    ),
    "PriorityClassMissing": warning(
        "The PriorityClass of the pods does not exist.",
        "Create it, or correct podTemplate.spec.priorityClassName.",
    ),
    "RuntimeClassMissing": warning(
        "The RuntimeClass of the pods does not exist, or the node has no handler for it.",
        "Install it, or correct podTemplate.spec.runtimeClassName.",
    ),
    "Unschedulable": warning(
        "No node takes the pod; the message has what the scheduler says.",
        "Compare podTemplate.spec and resources.requests with `kubectl describe nodes`.",
    ),
    "SchedulerMissing": warning(
        "No scheduler has looked at the pod.",
        "Correct podTemplate.spec.schedulerName, or start the scheduler.",
    ),
    "InsufficientAccelerator": warning(
        "No node has a free accelerator of accelerator.resourceName.",
        "Add nodes, free one, or let rollouts do without extra pods: rollout.maxExtraReplicas 0.",
    ),
    "InsufficientMemory": warning(
        "No node has as much free memory as resources asks for.",
        "Lower resources.requests.memory, or add a node that has it.",
    ),
    "InsufficientCPU": warning(
        "No node has as much free CPU as resources asks for.",
        "Lower resources.requests.cpu, or add a node that has it.",
    ),
    "NoMatchingNode": warning(
        "No node has the labels that nodeSelector or affinity ask for.",
        "Label a node, or correct podTemplate.spec.nodeSelector or affinity.",
    ),
    "TaintNotTolerated": warning(
        "The nodes have taints that the pod does not tolerate.",
        "Add podTemplate.spec.tolerations, or take the taint off a node.",
    ),
    "NodeUnavailable": warning(
        "A node that the pod needs is gone, not ready or cordoned.",
        "Look at `kubectl get nodes`; the pod starts when the node, or another, is ready.",
    ),
    "NodePressure": warning(
        "The nodes are short of memory, disk or process IDs and take no pods.",
        "Free what `kubectl describe nodes` shows under Conditions, or add a node.",
    ),
    "RejectedByNode": warning(
        "The kubelet refused the pod that the scheduler had given to its node.",
        "Look at the node's device plugins and at what else runs there.",
    ),
    "Evicted": warning(
        "The kubelet ended pods: the node ran short, or a pod went beyond its ephemeral storage.",
        "Raise requests of what ran short, or limits.ephemeral-storage or a volume's sizeLimit.",
    ),
    "StuckTerminating": warning(
        "A pod should have ended by now, and holds its place and its accelerator.",
        "Look at its node and its finalizers; `kubectl delete --force` only for a dead node.",
    ),
    "VolumeClaimMissing": warning(
        "A PersistentVolumeClaim that the pod needs does not exist.",
        "Create the claim, or correct its name in model.cache, model.source or podTemplate.",
    ),
    "StorageClassMissing": warning(
        "The StorageClass of a PersistentVolumeClaim does not exist, and there is no default.",
        "Create the StorageClass, or make the claim again with one that exists.",
    ),
    "AccessModeRefused": warning(
        "The storage does not offer the claim's access mode, or the mode allows one user only.",
        "Make the claim with a mode that fits: several pods on several nodes need ReadWriteMany.",
    ),
    "VolumeNotBound": warning(
        "A PersistentVolumeClaim has no volume, or none that its node can reach.",
        "Look at it with `kubectl describe pvc`.",
    ),
    "VolumeMountFailed": warning(
        "The node cannot attach or mount a volume.",
        "Read the message, and look at the volume's driver on the node.",
    ),
    "SecretMissing": warning(
        "A Secret, or a key of it, that the pod needs does not exist.",
        "Create the Secret that the message names in the resource's namespace.",
    ),
    "ConfigMapMissing": warning(
        "A ConfigMap, or a key of it, that the pod needs does not exist.",
        "Create the ConfigMap that the message names in the resource's namespace.",
    ),
}
