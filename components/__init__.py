"""Pulumi component resources, one a file: they turn specs into Azure resources and know nothing of config or files."""
