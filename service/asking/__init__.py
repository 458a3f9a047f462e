"""Asking before trusting: what an event would do, and what a trigger would have done."""
