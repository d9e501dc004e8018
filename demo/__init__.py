"""Runs the whole thing on one machine: Airflow, the service, and the recordings."""
