"""The node supervisor: the one piece of code that runs a job, on a laptop, on an SSH machine and on an emulated node.

It imports the standard library only, because it is shipped to the machine that runs the job. A run is a folder: the
launcher writes `job.json` and the code into it, `python -m node RUN_DIR` fills in the rest, and readers look at files.
"""
