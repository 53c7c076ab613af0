"""The inference server that llm-operator deploys; imports nothing: the contract stays cheap."""
