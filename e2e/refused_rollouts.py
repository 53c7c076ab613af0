"""Wrong specs of rollouts and traffic; ``refused_specs`` has the whole table."""

from typing import Final

from e2e.refused import Json, RefusedSpec, spec_with


def _rollout(**fields: object) -> Json:
    return spec_with(rollout=fields)


def _steps(*weights: object) -> Json:
    return _rollout(steps=[{"weightPercent": weight} for weight in weights])


def _analysis(**fields: object) -> Json:
    return _rollout(analysis=fields)


def _guards(*names: str, **fields: object) -> Json:
    guards = [{"name": name, "query": "up", "maximum": "0", **fields} for name in names]
    return _analysis(guards=guards, prometheus={"address": "http://prometheus:9090"})


ROLLOUTS: Final = (
    RefusedSpec("no step at all", _steps(), "spec.rollout.steps", "at least 1"),
    RefusedSpec("too many steps", _steps(*range(1, 22)), "spec.rollout.steps", "at most 20"),
    RefusedSpec(
        "weights that fall",
        _steps(10, 50, 25),
        "spec.rollout.steps",
        "must be greater than the one before",
    ),
    RefusedSpec(
        "weight twice",
        _steps(*range(1, 20), 19),
        "spec.rollout.steps",
        "must be greater than the one before",
    ),
    RefusedSpec(
        "step of weight 0", _steps(0), "spec.rollout.steps[0].weightPercent", "or equal to 1"
    ),
    RefusedSpec(
        "step beyond all traffic",
        _steps(101),
        "spec.rollout.steps[0].weightPercent",
        "or equal to 100",
    ),
    RefusedSpec(
        "step without weight",
        _rollout(steps=[{"minSeconds": 5}]),
        "spec.rollout.steps[0].weightPercent",
        "Required value",
    ),
    RefusedSpec(
        "pause of no time",
        _rollout(steps=[{"weightPercent": 5, "pause": {"seconds": 0}}]),
        "spec.rollout.steps[0].pause.seconds",
        "or equal to 1",
    ),
    RefusedSpec(
        "negative extra", _rollout(maxExtraReplicas=-1), "spec.rollout.maxExtraReplicas", "equal to"
    ),
    RefusedSpec(
        "more serving than there are",
        _rollout(minServingPercent=101),
        "spec.rollout.minServingPercent",
        "or equal to 100",
    ),
    RefusedSpec(
        "unknown end of a failure",
        _rollout(onFailure="Ignore"),
        "spec.rollout.onFailure",
        '"Rollback", "Pause"',
    ),
    RefusedSpec(
        "canary that must be faster",
        _analysis(maxInterTokenPercent=90),
        "spec.rollout.analysis.maxInterTokenPercent",
        "or equal to 100",
    ),
    RefusedSpec(
        "guard without Prometheus",
        _analysis(guards=[{"name": "errors", "query": "up", "maximum": "0"}]),
        "spec.rollout.analysis.guards",
        "need prometheus.address",
    ),
    RefusedSpec(
        "repeated guard",
        _guards("errors", "errors"),
        "spec.rollout.analysis.guards",
        "Duplicate value",
    ),
    RefusedSpec(
        "guard with no number",
        _guards("errors", maximum="few"),
        "spec.rollout.analysis.guards[0].maximum",
        "should match",
    ),
    RefusedSpec(
        "Prometheus by file",
        _analysis(prometheus={"address": "file:///etc/passwd"}),
        "spec.rollout.analysis.prometheus.address",
        "http or https",
    ),
    RefusedSpec(
        "Prometheus with a password",
        _analysis(prometheus={"address": "http://user:secret@prometheus:9090"}),
        "spec.rollout.analysis.prometheus.address",
        "without credentials",
    ),
)

TRAFFIC: Final = (
    RefusedSpec(
        "unknown provider",
        spec_with(traffic={"provider": "Istio"}),
        "spec.traffic.provider",
        '"Auto"',
    ),
    RefusedSpec(
        "Gateway API without a Gateway",
        spec_with(traffic={"provider": "GatewayAPI"}),
        "spec.traffic.gateway",
        "required with provider GatewayAPI",
    ),
    RefusedSpec(
        "route of no Gateway",
        spec_with(traffic={"gateway": {"parentRefs": []}}),
        "spec.traffic.gateway.parentRefs",
        "at least 1",
    ),
    RefusedSpec(
        "host name that is none",
        spec_with(traffic={"gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["a b"]}}),
        "spec.traffic.gateway.hostnames[0]",
        "should match",
    ),
)
