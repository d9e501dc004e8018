"""AssemblyAI's pre-recorded speech-to-text as Python. Imports no Airflow and can be used alone."""
