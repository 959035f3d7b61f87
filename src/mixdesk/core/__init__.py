"""The nouns of mixdesk: frozen types, the registry, files and errors. Numpy and pydantic only."""
