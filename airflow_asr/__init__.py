"""Speech to text for Apache Airflow, on AssemblyAI's pre-recorded transcription API."""

__version__ = "0.1.0"
