"""A veto plugin and a storage backend for kurado."""
