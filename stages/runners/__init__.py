"""Runners: one module for each place an attempt can execute in."""
