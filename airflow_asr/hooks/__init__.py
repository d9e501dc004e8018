"""The hook: AssemblyAI behind an Airflow Connection."""
