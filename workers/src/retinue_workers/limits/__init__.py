"""Decide when the worker may receive, call and spend: gate, retries, budget, rate limits."""
