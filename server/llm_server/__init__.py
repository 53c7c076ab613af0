"""The inference server that llm-operator deploys. Imports nothing, so that the contract stays cheap."""
