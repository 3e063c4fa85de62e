"""Batched image operations, the policy that is made of them, and the baselines: torch."""
