"""Stands in for the vendor's `azure-native` plugin: Pulumi's provider protocol on one side, ARM on the other.

An engine attaches to it (`PULUMI_DEBUG_PROVIDERS=azure-native:PORT`). It knows no resource type by code: `types.json`
is the table, `wire`, `check` and `diff` are pure, `arm_client` speaks HTTPS, `service` is the protocol. It behaves as
pulumi-azure-native 3.29 does, whose provider (provider.go, diff.go, crud.go, client_azcore.go) each module cites.
"""
