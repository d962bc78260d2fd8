"""The System Information board and status site (RULES ACC-03): static files that stand when the service does not."""
