"""The sensor: it waits for a transcript."""
