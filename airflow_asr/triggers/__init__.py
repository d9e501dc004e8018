"""The trigger: it waits in the triggerer, without a worker slot."""
