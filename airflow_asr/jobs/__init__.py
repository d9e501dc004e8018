"""One paid job carried safely from audio to text. Imports no Airflow."""
