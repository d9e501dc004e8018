"""Many recordings carried from an archive to text by one task."""
