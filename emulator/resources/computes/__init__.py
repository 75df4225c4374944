"""What `workspaces/computes` is made of: one module a compute type, and the checks that they share."""
