"""One module a kind of place where a deployment runs."""
