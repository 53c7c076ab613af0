"""The Kubernetes operator for LLMDeployment resources."""
