"""The operators: they submit transcripts."""
