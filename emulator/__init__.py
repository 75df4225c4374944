"""A stand-in of Azure for machines with no subscription: never kinder than the real one.

It serves ARM, the workspace's data plane, blob storage and the login endpoint on one HTTPS port of the loopback
interface. It imports `node` only, so that a mistake in our own mapping can't be made on both sides of the wire.
"""
