"""Kept code: what a daemon stores of the pipelines it loads, and how runs are driven with it again."""
