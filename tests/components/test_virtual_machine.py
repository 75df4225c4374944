from __future__ import annotations

import base64

import pulumi
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from components import compute
from components.keys import LockedKeyError, open_key, unlocked
from specs.virtual_machine import VirtualMachineSpec
from tests.components.compute_kit import COMPUTE, PUBLIC_KEY, SECRET_SIGNATURE, SECRET_VALUE, SUBSCRIPTION, declare

ATTACHED: dict[str, object] = {
    "kind": "VirtualMachine",
    "address": "gpu.example.org",
    "ssh_port": 2222,
    "administrator_account": {"username": "ada", "private_key": "gpu-box-key"},
    "host_key": PUBLIC_KEY,
}
MADE: dict[str, object] = {
    "kind": "VirtualMachine",
    "administrator_account": {"username": "ada", "private_key": "gpu-box-key"},
    "virtual_machine": {"vm_size": "Standard_D2s_v3", "admin_public_key": PUBLIC_KEY, "subnet": "nodes"},
}
MACHINE_ID = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/virtualMachines/m"


def spec(base: dict[str, object], **fields: object) -> VirtualMachineSpec:
    return VirtualMachineSpec.model_validate({**base, **fields})


def made_spec(**fields: object) -> VirtualMachineSpec:
    machine = MADE["virtual_machine"]
    assert isinstance(machine, dict)
    return spec(MADE, virtual_machine={**machine, **fields})


def account(made: object) -> object:
    """Return the login in a compute's inputs, which must be a secret."""
    assert isinstance(made, dict)
    assert made[SECRET_SIGNATURE] == SECRET_VALUE
    return made["value"]["properties"]["administratorAccount"]


def locked(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: str) -> str:
    formats = {"openssh": serialization.PrivateFormat.OpenSSH, "pkcs8": serialization.PrivateFormat.PKCS8}
    cipher = serialization.BestAvailableEncryption(b"open sesame")
    return key.private_bytes(serialization.Encoding.PEM, formats[form], cipher).decode()


def test_an_existing_machine_is_attached_and_nothing_else_is_made() -> None:
    made = declare("gpu-box", spec(ATTACHED, resource_id=MACHINE_ID, location="westus2", description="in the cellar"))
    assert made.types() == [(COMPUTE.removeprefix("azure-native:"), "gpu-box")]
    assert made.address is None
    inputs = made.of("gpu-box")
    assert inputs.pop("properties") == {
        SECRET_SIGNATURE: SECRET_VALUE,
        "value": {
            "computeType": "VirtualMachine",
            "computeLocation": "westus2",
            "description": "in the cellar",
            "disableLocalAuth": True,
            "resourceId": MACHINE_ID,
            "properties": {
                "address": "gpu.example.org",
                "sshPort": 2222,
                "administratorAccount": {"username": "ada", "privateKeyData": "secret:gpu-box-key"},
            },
        },
    }
    assert inputs == {
        "resourceGroupName": "research-group",
        "workspaceName": "research",
        "computeName": "gpu-box",
        "location": "northeurope",
        "tags": {"owner": "ada"},
    }


def test_a_password_is_a_secret() -> None:
    given = spec(ATTACHED, administrator_account={"username": "ada", "password": "gpu-box-password"})
    properties = declare("gpu-box", given).of("gpu-box")["properties"]
    assert account(properties) == {"username": "ada", "password": "secret:gpu-box-password"}


def test_a_key_under_a_passphrase_is_opened_and_stays_a_secret() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    login = {"username": "ada", "private_key": "gpu-box-key", "private_key_passphrase": "gpu-box-passphrase"}
    secrets = {"gpu-box-key": locked(key, "openssh"), "gpu-box-passphrase": "open sesame"}
    properties = declare("gpu-box", spec(ATTACHED, administrator_account=login), secrets=secrets).of("gpu-box")
    found = account(properties["properties"])
    assert isinstance(found, dict)
    opened = serialization.load_ssh_private_key(found["privateKeyData"].encode(), None)
    assert isinstance(opened, ed25519.Ed25519PrivateKey)
    assert opened.private_bytes_raw() == key.private_bytes_raw()


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "openssh"),
        (ec.generate_private_key(ec.SECP256R1()), "openssh"),
        (rsa.generate_private_key(65537, 2048), "openssh"),
        (rsa.generate_private_key(65537, 2048), "pkcs8"),
    ],
    ids=["ed25519", "ecdsa", "rsa", "rsa-pkcs8"],
)
def test_an_opened_key_is_the_same_text_every_time(
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: str
) -> None:
    text = locked(key, form)
    opened = unlocked(text, "open sesame")
    assert opened == unlocked(text, "open sesame")
    assert serialization.load_ssh_private_key(opened.encode(), None).public_key() == key.public_key()


def test_a_wrong_passphrase_is_one_message_that_shows_neither() -> None:
    text = locked(ed25519.Ed25519PrivateKey.generate(), "openssh")
    with pytest.raises(pulumi.RunError) as caught:
        open_key([text, "swordfish"], compute="gpu-box", key="gpu-box-key", passphrase="gpu-box-passphrase")
    assert str(caught.value) == (
        "gpu-box: the private key in gpu-box-key can't be opened: the passphrase is wrong, or it is no private key. "
        "Its passphrase is in gpu-box-passphrase. To change either: invoke secret NAME"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_passphrase_for_an_open_key_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    with pytest.raises(LockedKeyError, match=r"^has no passphrase\. Delete private_key_passphrase$"):
        unlocked(plain.decode(), "open sesame")


def test_a_machine_is_made_without_a_public_address_and_attached() -> None:
    made = declare("gpu-box", spec(MADE))
    assert made.types() == [
        ("compute:VirtualMachine", "gpu-box-machine"),
        (COMPUTE.removeprefix("azure-native:"), "gpu-box"),
        ("network:NetworkInterface", "gpu-box-nic"),
        ("network:NetworkSecurityGroup", "gpu-box-nsg"),
    ]
    common = {"resourceGroupName": "trainyard", "location": "northeurope", "tags": {"owner": "ada"}}
    assert made.of("gpu-box-nsg") == {**common, "networkSecurityGroupName": "gpu-box-nsg", "securityRules": []}
    assert made.of("gpu-box-nic") == {
        **common,
        "networkInterfaceName": "gpu-box-nic",
        "ipConfigurations": [
            {
                "name": "primary",
                "primary": True,
                "privateIPAllocationMethod": "Dynamic",
                "subnet": {  # the two defaults are the vendor's SDK's; the service reads the id alone
                    "id": "/subscriptions/s/nodes",
                    "privateEndpointNetworkPolicies": "Disabled",
                    "privateLinkServiceNetworkPolicies": "Enabled",
                },
            }
        ],
        "networkSecurityGroup": {"id": f"/subscriptions/{SUBSCRIPTION}/NetworkSecurityGroup/gpu-box-nsg"},
    }
    assert made.of("gpu-box-machine") == {
        **common,
        "vmName": "gpu-box",
        "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
        "osProfile": {
            "computerName": "gpu-box",
            "adminUsername": "ada",
            "linuxConfiguration": {
                "disablePasswordAuthentication": True,
                "ssh": {"publicKeys": [{"path": "/home/ada/.ssh/authorized_keys", "keyData": PUBLIC_KEY}]},
            },
        },
        "storageProfile": {
            "imageReference": {
                "publisher": "Canonical",
                "offer": "ubuntu-24_04-lts",
                "sku": "server",
                "version": "latest",
            },
            "osDisk": {
                "createOption": "FromImage",
                "deleteOption": "Delete",
                "diskSizeGB": 64,
                "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
            },
        },
        "networkProfile": {
            "networkInterfaces": [
                {"id": f"/subscriptions/{SUBSCRIPTION}/NetworkInterface/gpu-box-nic", "primary": True}
            ]
        },
    }
    properties = made.of("gpu-box")["properties"]
    assert isinstance(properties, dict)
    assert properties["value"]["resourceId"] == f"/subscriptions/{SUBSCRIPTION}/VirtualMachine/gpu-box-machine"
    assert properties["value"]["properties"]["address"] == "10.20.1.4"
    assert (made.address, made.address_is_secret) == ("10.20.1.4", False)


def test_a_public_machine_opens_ssh_to_the_named_ranges_only() -> None:
    made = declare("gpu-box", made_spec(public_ip=True, allow_ssh_from=["203.0.113.0/24", "198.51.100.7/32"]))
    assert made.of("gpu-box-ip") == {
        "resourceGroupName": "trainyard",
        "publicIpAddressName": "gpu-box-ip",
        "location": "northeurope",
        "sku": {"name": "Standard"},
        "publicIPAllocationMethod": "Static",
        "tags": {"owner": "ada"},
    }
    assert made.of("gpu-box-nsg")["securityRules"] == [
        {
            "name": "ssh",
            "priority": 1000,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "sourceAddressPrefixes": ["203.0.113.0/24", "198.51.100.7/32"],
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "22",
        }
    ]
    (configuration,) = made.of("gpu-box-nic")["ipConfigurations"]  # type: ignore[misc]
    assert configuration["publicIPAddress"] == {  # type: ignore[has-type]
        "id": f"/subscriptions/{SUBSCRIPTION}/PublicIPAddress/gpu-box-ip"
    }
    assert made.address == "203.0.113.9"


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("ubuntu-22.04", ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2")),
        ("ubuntu-dsvm", ("microsoft-dsvm", "ubuntu-2204", "2204-gen2")),
    ],
)
def test_each_image_is_the_marketplaces(image: str, reference: tuple[str, str, str]) -> None:
    storage = declare("gpu-box", made_spec(image=image)).of("gpu-box-machine")["storageProfile"]
    assert isinstance(storage, dict)
    found = storage["imageReference"]
    assert (found["publisher"], found["offer"], found["sku"]) == reference


def test_another_ssh_port_is_set_at_the_first_start() -> None:
    made = declare("gpu-box", spec(MADE, ssh_port=2222))
    profile = made.of("gpu-box-machine")["osProfile"]
    assert isinstance(profile, dict)
    assert base64.b64decode(profile["customData"]).decode() == (
        "#cloud-config\n"
        "write_files:\n"
        "  - path: /etc/ssh/sshd_config.d/60-trainyard.conf\n"
        "    content: |\n"
        "      Port 2222\n"
        "runcmd:\n"
        "  - systemctl daemon-reload\n"
        "  - systemctl try-restart ssh.socket\n"
        "  - systemctl restart ssh\n"
    )


def test_what_azure_fixes_replaces_and_the_old_one_goes_first() -> None:
    options = declare("gpu-box", spec(MADE)).options
    assert {name: options[name].replace_on_changes for name in ("gpu-box", "gpu-box-machine", "gpu-box-nic")} == {
        "gpu-box": [
            "properties.computeLocation",
            "properties.computeType",
            "properties.disableLocalAuth",
            "properties.properties.address",
            "properties.properties.administratorAccount",
            "properties.properties.sshPort",
            "properties.resourceId",
        ],
        "gpu-box-machine": ["hardwareProfile", "networkProfile", "osProfile", "storageProfile.imageReference"],
        "gpu-box-nic": ["ipConfigurations[*].subnet"],
    }
    assert [options[name].delete_before_replace for name in ("gpu-box", "gpu-box-machine", "gpu-box-nic")] == [True] * 3


def test_a_machines_target_says_how_to_know_it_again_and_holds_no_secret() -> None:
    attached = compute.target("gpu-box", "research", spec(ATTACHED, resource_id=MACHINE_ID), "/id")
    assert attached.model_dump() == {
        "kind": "VirtualMachine",
        "name": "gpu-box",
        "id": "/id",
        "workspace": "research",
        "fixed": {
            "kind": '"VirtualMachine"',
            "resource_id": f'"{MACHINE_ID}"',
            "address": '"gpu.example.org"',
            "ssh_port": "2222",
            "administrator_account.username": '"ada"',
            "administrator_account.private_key": '"gpu-box-key"',
            "disable_local_auth": "true",
        },
        "address": "gpu.example.org",
        "ssh_port": 2222,
        "username": "ada",
        "host_key": PUBLIC_KEY,
        "resource_id": MACHINE_ID,
        "made_here": False,
    }
    made = compute.target("gpu-box", "research", spec(MADE), "/id", "10.20.1.4")
    shown = made.model_dump()
    assert {key: shown[key] for key in ("address", "ssh_port", "host_key", "resource_id", "made_here")} == {
        "address": "10.20.1.4",
        "ssh_port": 22,
        "host_key": None,
        "resource_id": None,
        "made_here": True,
    }


def test_an_account_name_that_azure_refuses_is_refused_before() -> None:
    login = {"username": "admin", "private_key": "gpu-box-key"}
    with pytest.raises(ValueError, match="is a name that Azure refuses for the account of a machine that it makes"):
        spec(MADE, administrator_account=login)
    assert spec(ATTACHED, administrator_account=login).administrator_account.username == "admin"
