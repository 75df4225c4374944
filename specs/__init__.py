"""Both ends of the pipe, and nothing else: what users write (stacks, jobs, endpoints) and what a stack answers.

Pure models and the loader that reads them from YAML. Imports nothing of ours.
"""
