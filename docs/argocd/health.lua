-- Health of an LLMDeployment for Argo CD; docs/status.md says how to install it and what it shows.
--
-- Progressing  the newest spec is not seen yet, a revision takes over, or pods are starting
-- Suspended    a rollout waits for a command, for its pause to end, or for rollout.paused
-- Degraded     someone has to change something; the stable revision may serve all the same
-- Healthy      the stable revision serves with all replicas, and nothing is under way

local function health(status, message)
  return {status = status, message = message or ""}
end

local status = obj.status
if status == nil or status.conditions == nil then
  return health("Progressing", "Waiting for the operator")
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to see the newest spec")
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local stalled = conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message)
end
local progressing = conditions.Progressing
if progressing ~= nil and progressing.status == "True" then
  if progressing.reason == "RolloutPaused" then
    return health("Suspended", progressing.message)
  end
  return health("Progressing", progressing.message)
end
local ready = conditions.Ready
if ready == nil then
  return health("Progressing", "Waiting for the operator")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if ready.reason == "PodsNotReady" then
  return health("Progressing", ready.message)
end
return health("Degraded", ready.message)
