"""``kubectl llm``: the LLMDeployments of a cluster for people and pipelines, as the user."""
