"""What happens after `up`: submit, stream, cancel, register, deploy. Reads a stack's outputs; never imports Pulumi.

Nothing is imported here, so that `import runtime` costs nothing; heavy libraries load in the functions that use them.
"""
