"""An AssemblyAI on your machine: the same protocol, a real recogniser, no account."""
