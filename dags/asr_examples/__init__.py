"""What the example DAGs do with text. To take a DAG elsewhere, copy it with what it imports from this folder."""
