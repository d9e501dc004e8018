"""Measures what the README says."""
