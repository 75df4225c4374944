"""Pulumi itself: how the engine is found or made, started and understood.

Imports nothing of ours, so that any command can use it before anything is deployed. It knows neither stacks' contents
nor Azure: it turns the engine's events into a plan, its refusals into one message, and keeps its state private.
"""
