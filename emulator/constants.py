"""The fixed names of the emulated cloud. A contract test compares the subscription with the one that `specs` knows."""

SUBSCRIPTION_ID = "00000000-7472-6169-6e79-617264656d75"
TENANT_ID = "00000000-7472-6169-6e79-74656e616e74"
CLIENT_ID = "00000000-7472-6169-6e79-636c69656e74"
OBJECT_ID = "00000000-7472-6169-6e79-6f626a656374"
CLOUD_NAME = "TrainyardEmulator"
LOCATIONS = ("westeurope", "northeurope", "eastus", "eastus2", "westus2", "southcentralus", "uksouth", "swedencentral")
