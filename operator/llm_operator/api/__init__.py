"""The LLMDeployment API: its models, rules, closed lists and what is generated from them."""
