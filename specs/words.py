"""The words that other tools use for our fields, so that a misplaced one is answered with the right one.

Sources: azureml-core 1.60 (v1 SDK) constructors, azure-ai-ml 1.35.2 YAML schemas (CLI v2), ARM 2025-12-01 bodies.
"""

from __future__ import annotations

OTHER_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "vm_size": {"CLI v2": ("size",), "ARM": ("vmSize",)},
    "vm_priority": {"CLI v2": ("tier",), "ARM": ("vmPriority",)},
    "min_node_count": {
        "the v1 SDK": ("min_nodes",),
        "CLI v2": ("min_instances",),
        "ARM": ("minNodeCount",),
    },
    "max_node_count": {
        "the v1 SDK": ("max_nodes",),
        "CLI v2": ("max_instances",),
        "ARM": ("maxNodeCount",),
    },
    "node_idle_time_before_scale_down": {
        "the v1 SDK": ("idle_seconds_before_scaledown",),
        "CLI v2": ("idle_time_before_scale_down",),
        "ARM": ("nodeIdleTimeBeforeScaleDown",),
    },
    "subnet": {"the v1 SDK": ("subnet_name", "vnet_name"), "CLI v2": ("network_settings",)},
    "identity": {"the v1 SDK": ("identity_type", "identity_id")},
    "user_account_credentials": {
        "the v1 SDK": ("admin_username", "admin_user_password", "admin_user_ssh_key"),
        "CLI v2": ("ssh_settings",),
        "ARM": ("userAccountCredentials",),
    },
    "remote_login_port_public_access": {
        "CLI v2": ("ssh_public_access_enabled",),
        "ARM": ("remoteLoginPortPublicAccess",),
    },
    "enable_node_public_ip": {"ARM": ("enableNodePublicIp",)},
    "disable_local_auth": {"Terraform": ("local_auth_enabled",), "ARM": ("disableLocalAuth",)},
    "kind": {"CLI v2": ("type",), "ARM": ("computeType",)},
    "public_network_access": {"Terraform": ("public_network_access_enabled",), "ARM": ("publicNetworkAccess",)},
    "hbi_workspace": {"Terraform": ("high_business_impact",), "ARM": ("hbiWorkspace",)},
    "address_prefix": {"Terraform": ("address_prefixes",), "ARM": ("addressPrefix",)},
    "experiment_name": {"the v1 SDK": ("experiment",)},
    "compute": {"the v1 SDK": ("compute_target", "target")},
    "code": {"the v1 SDK": ("source_directory",)},
    "environment_variables": {"common use": ("env", "env_vars")},
    "command": {"the v1 SDK": ("script", "entry_script", "arguments", "script_params")},
    "resources": {"the v1 SDK": ("node_count",)},
    "limits": {"common use": ("timeout", "max_run_duration_seconds")},
}
