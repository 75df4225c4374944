"""The Pulumi program that declares what a stack file says, and the stack files of this repository."""
