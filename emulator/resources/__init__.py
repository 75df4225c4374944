"""One module a resource type: what ARM checks, what it adds, what happens when the resource goes.

Each module holds a `TYPE` for `emulator.arm`, the engine that has the rules which all types share.
"""
