"""The blob service: rights, conditions, ranges, listings, blocks, durability."""

from __future__ import annotations

import base64
import hashlib
import hmac
import xml.etree.ElementTree as ET
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import pytest
from azure.storage.blob import generate_account_sas, generate_blob_sas, generate_container_sas

from emulator import accounts, blob, blobstore, login, shared_access
from emulator.blobstore import Where
from emulator.routing import Answer, Routes
from emulator.shared_access import Target
from tests.emulator.dataplane_kit import ACCOUNT, START, Caller, Clock, cloud

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from emulator.accounts import Account
    from emulator.cloud import Cloud

HOUR = timedelta(hours=1)


class Store:
    """The service with one container `box`, called with a signature for it."""

    def __init__(self, home: Path) -> None:
        self.clock = Clock()
        self.cloud: Cloud = cloud(home, self.clock)
        self.call = Caller(self.cloud, Routes(blob.routes()))
        found = accounts.by_id(self.cloud, ACCOUNT)
        assert found is not None
        self.account: Account = found
        self.where = Where(found, "box")
        accounts.ensure_container(self.cloud, found, "box")
        self.key = accounts.keys(self.cloud, found)[0]

    def sas(self, permissions: str = "racwdl") -> str:
        return shared_access.sign(self.cloud, Target(self.account, "box"), permissions, HOUR)

    def __call__(self, method: str, path: str = "", body: bytes = b"", query: str = "", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"/acct.blob/box{path}?{self.sas()}" + (f"&{query}" if query else "")
        return self.call(method, address, body, given)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        return self.call("GET", f"/acct.blob/box{path}?{self.sas()}", b"", headers)

    def put(self, name: str, body: bytes, **headers: str) -> Answer:
        return self("PUT", f"/{name}", body, **{"x_ms_blob_type": "BlockBlob", **headers})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.headers.get("x-ms-error-code", "")


def page(answer: Answer) -> ET.Element:
    assert isinstance(answer.body, bytes)
    return ET.fromstring(answer.body)  # noqa: S314 - our own answer


def names(answer: Answer) -> list[str]:
    return [element.text or "" for element in page(answer).iter("Name")]


def test_a_blob_comes_back_with_its_type_length_md5_and_metadata(store: Store) -> None:
    md5 = base64.b64encode(hashlib.md5(b"hello", usedforsecurity=False).digest()).decode()
    put = store.put("a/b.txt", b"hello", x_ms_blob_content_type="text/plain", x_ms_meta_who="me", content_md5=md5)
    got, head = store("GET", "/a/b.txt"), store("HEAD", "/a/b.txt")
    assert (put.status, got.status, got.body) == (201, 200, b"hello")
    assert (got.headers["Content-Type"], got.headers["Content-MD5"]) == ("text/plain", md5)
    assert (head.headers["Content-Length"], head.headers["x-ms-meta-who"], head.body) == ("5", "me", b"")
    assert got.headers["ETag"] == put.headers["ETag"]


def test_names_that_differ_in_case_are_two_blobs(store: Store) -> None:
    store.put("Train.py", b"1")
    store.put("train.py", b"2")
    assert [store("GET", f"/{name}").body for name in ("Train.py", "train.py")] == [b"1", b"2"]
    assert code(store("GET", "/TRAIN.py")) == (404, "BlobNotFound")


def test_create_only_refuses_a_second_put(store: Store) -> None:
    assert store.put("a", b"1", if_none_match="*").status == 201
    assert code(store.put("a", b"2", if_none_match="*")) == (409, "BlobAlreadyExists")
    assert store("GET", "/a").body == b"1"


def test_a_wrong_md5_is_refused_and_nothing_is_kept(store: Store) -> None:
    assert code(store.put("a", b"1", content_md5="AAAAAAAAAAAAAAAAAAAAAA==")) == (400, "Md5Mismatch")
    assert code(store("HEAD", "/a")) == (404, "BlobNotFound")


def test_a_page_blob_is_refused_by_name(store: Store) -> None:
    answer = store("PUT", "/a", b"", x_ms_blob_type="PageBlob")
    assert code(answer) == (501, "NotImplemented")
    assert b"PageBlob" in (answer.body if isinstance(answer.body, bytes) else b"")


@pytest.mark.parametrize(
    ("span", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_range_gives_that_slice(store: Store, span: str, status: int, body: bytes, content_range: str | None) -> None:
    store.put("a", b"0123456789")
    for header in ("x-ms-range", "range"):
        answer = store.get("/a", {header: span})
        assert (answer.status, answer.body, answer.headers.get("Content-Range")) == (status, body, content_range)


def test_a_range_past_the_end_is_416_with_the_length(store: Store) -> None:
    store.put("a", b"0123456789")
    answer = store("GET", "/a", x_ms_range="bytes=10-")
    assert code(answer) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */10"


def test_a_changed_blob_fails_if_match(store: Store) -> None:
    old = store.put("a", b"1").headers["ETag"]
    store.put("a", b"2")
    assert code(store("GET", "/a", if_match=old)) == (412, "ConditionNotMet")


def test_an_unchanged_blob_is_304_without_a_body(store: Store) -> None:
    same = store.put("a", b"1").headers["ETag"]
    answer = store("GET", "/a", if_none_match=same)
    assert (answer.status, answer.body) == (304, b"")


def test_metadata_is_replaced_and_listed(store: Store) -> None:
    store.put("a", b"1", x_ms_meta_old="x")
    assert store("PUT", "/a", query="comp=metadata", x_ms_meta_upload_status="completed").status == 200
    listed = page(store("GET", query="restype=container&comp=list&include=metadata"))
    metadata = listed.find("Blobs/Blob/Metadata")
    assert metadata is not None
    assert [(item.tag, item.text) for item in metadata] == [("upload-status", "completed")]


def test_blocks_are_joined_in_the_order_of_the_list(store: Store) -> None:
    for name, body in (("QQ==", b"aa"), ("Qg==", b"bb"), ("Qw==", b"cc")):
        assert store("PUT", "/big", body, query=urlencode({"comp": "block", "blockid": name})).status == 201
    assert code(store("GET", "/big")) == (404, "BlobNotFound")
    listed = b"<BlockList><Latest>Qg==</Latest><Latest>QQ==</Latest></BlockList>"
    assert store("PUT", "/big", listed, query="comp=blocklist").status == 201
    assert store("GET", "/big").body == b"bbaa"
    assert code(store("PUT", "/big", listed, query="comp=blocklist")) == (400, "InvalidBlockList")


def test_a_listing_has_prefix_delimiter_and_pages(store: Store) -> None:
    for name in ("a/1", "a/2", "a/x/3", "b", "A/9"):
        store.put(name, b"")
    base = "restype=container&comp=list"
    assert names(store("GET", query=base)) == ["A/9", "a/1", "a/2", "a/x/3", "b"]
    assert names(store("GET", query=f"{base}&prefix=a/&delimiter=/")) == ["a/1", "a/2", "a/x/"]
    marker = page(store("GET", query=f"{base}&maxresults=2")).findtext("NextMarker") or ""
    assert names(store("GET", query=f"{base}&maxresults=9&" + urlencode({"marker": marker}))) == ["a/2", "a/x/3", "b"]


def test_a_deleted_blob_is_gone_and_its_bytes_are_swept(store: Store) -> None:
    store.put("a", b"1")
    store.put("same", b"1")
    assert store("DELETE", "/a").status == 202
    assert code(store("DELETE", "/a")) == (404, "BlobNotFound")
    assert blobstore.sweep(store.cloud) == 0
    store("DELETE", "/same")
    assert blobstore.sweep(store.cloud) == 1


def test_an_unknown_account_and_container_are_404(store: Store) -> None:
    assert code(store.call("GET", "/other.blob/box/a")) == (404, "ResourceNotFound")
    target = Target(store.account, "none")
    token = shared_access.sign(store.cloud, target, "r", HOUR)
    assert code(store.call("GET", f"/acct.blob/none/a?{token}")) == (404, "ContainerNotFound")


def test_without_credentials_it_is_401_with_a_challenge(store: Store) -> None:
    answer = store.call("GET", "/acct.blob/box/a")
    assert code(answer) == (401, "NoAuthenticationInformation")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


@pytest.mark.parametrize(
    "change",
    [
        {"sig": "AAAA"},
        {"sp": "racwdl2"},
        {"se": "2027-01-01T00:00:00Z"},
        {"sr": "b"},
        {"sv": "2017-01-01"},
        {"si": "policy"},
    ],
)
def test_a_tampered_signature_is_refused(store: Store, change: Mapping[str, str]) -> None:
    store.put("a", b"1")
    fields = {**dict(parse_qsl(store.sas("r"))), **change}
    assert code(store.call("GET", f"/acct.blob/box/a?{urlencode(fields)}")) == (403, "AuthenticationFailed")


def test_a_signature_holds_from_its_start_until_its_expiry(store: Store) -> None:
    store.put("a", b"1")
    address = f"/acct.blob/box/a?{store.sas('r')}"
    assert store.call("GET", address).status == 200
    store.clock.forward(hours=1)
    assert code(store.call("GET", address)) == (403, "AuthenticationFailed")
    store.clock.forward(hours=-2)
    assert code(store.call("GET", address)) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("method", "path", "permissions", "query"),
    [
        ("GET", "/a", "wdl", ""),
        ("PUT", "/a", "rdl", ""),
        ("DELETE", "/a", "rwcl", ""),
        ("GET", "", "rwcd", "restype=container&comp=list"),
        ("PUT", "/a", "r", "comp=metadata"),
        ("PUT", "", "racwdl", "restype=container"),
    ],
)
def test_a_permission_that_is_missing_is_refused(
    store: Store, method: str, path: str, permissions: str, query: str
) -> None:
    store.put("a", b"1")
    address = f"/acct.blob/box{path}?{store.sas(permissions)}&{query}"
    answer = store.call(method, address, b"", {"x-ms-blob-type": "BlockBlob"})
    assert code(answer) == (403, "AuthorizationPermissionMismatch")


def test_the_right_to_create_does_not_overwrite(store: Store) -> None:
    store.put("a", b"1")
    answer = store.call("PUT", f"/acct.blob/box/a?{store.sas('c')}", b"2", {"x-ms-blob-type": "BlockBlob"})
    assert code(answer) == (403, "UnauthorizedBlobOverwrite")


def test_a_signature_of_one_container_opens_no_other(store: Store) -> None:
    accounts.ensure_container(store.cloud, store.account, "other")
    answer = store.call("GET", f"/acct.blob/other/a?{store.sas()}")
    assert code(answer) == (403, "AuthenticationFailed")


def test_signatures_that_the_vendor_sdk_makes_from_the_key_are_verified(store: Store) -> None:
    store.put("a", b"1")
    expiry = START + HOUR
    made = {
        "container": generate_container_sas("acct", "box", store.key, permission="rl", expiry=expiry),
        "blob": generate_blob_sas("acct", "box", "a", account_key=store.key, permission="r", expiry=expiry),
        "account": generate_account_sas("acct", store.key, "sco", "rl", expiry),
    }
    assert {sort: store.call("GET", f"/acct.blob/box/a?{token}").status for sort, token in made.items()} == {
        "container": 200,
        "blob": 200,
        "account": 200,
    }
    other = base64.b64encode(b"x" * 64).decode()
    forged = generate_container_sas("acct", "box", other, permission="rl", expiry=expiry)
    assert code(store.call("GET", f"/acct.blob/box/a?{forged}")) == (403, "AuthenticationFailed")
    objects = generate_account_sas("acct", store.key, "s", "rl", expiry)
    assert code(store.call("GET", f"/acct.blob/box/a?{objects}")) == (403, "AuthorizationResourceTypeMismatch")


def test_a_request_signed_with_the_key_is_verified(store: Store) -> None:
    store.put("a", b"1")
    date = format_datetime(START.replace(tzinfo=START.tzinfo), usegmt=True)
    text = f"GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\n/acct/acct.blob/box/a"
    digest = hmac.new(base64.b64decode(store.key), text.encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "Authorization": f"SharedKey acct:{base64.b64encode(digest).decode()}"}
    assert store.call("GET", "/acct.blob/box/a", b"", headers).body == b"1"
    store.clock.forward(minutes=16)
    assert code(store.call("GET", "/acct.blob/box/a", b"", headers)) == (403, "AuthenticationFailed")


def test_a_token_for_storage_is_taken_and_one_for_arm_is_not(store: Store) -> None:
    store.put("a", b"1")
    answers = [
        store.call("GET", "/acct.blob/box/a", b"", {"Authorization": f"Bearer {login.mint(store.cloud, audience)}"})
        for audience in (login.STORAGE_AUDIENCES[0], login.arm_audiences(store.cloud)[0])
    ]
    assert [answer.status for answer in answers] == [200, 401]


def test_an_account_without_shared_keys_refuses_signatures(store: Store) -> None:
    address = f"/acct.blob/box/a?{store.sas()}"
    store.cloud.state.put(ACCOUNT, {"id": ACCOUNT, "name": "acct", "properties": {"allowSharedKeyAccess": False}})
    assert code(store.call("GET", address)) == (403, "KeyBasedAuthenticationNotPermitted")


def test_acknowledged_blobs_survive_a_new_process_and_die_with_the_account(store: Store, tmp_path: Path) -> None:
    store.put("a", b"1")
    store.cloud.state.close()
    again = Store(tmp_path)
    assert again("GET", "/a").body == b"1"
    again.cloud.state.delete_tree(ACCOUNT)
    assert again.cloud.state.all("blob") == []


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("acct.blob.core.localhost:4430", "/acct.blob/box/a"),
        ("ACCT.blob.core.localhost", "/acct.blob/box/a"),
        ("localhost:4430", None),
        ("acct.blob.core.windows.net", None),
    ],
)
def test_an_accounts_own_host_is_routed_by_its_name(host: str, path: str | None) -> None:
    assert blob.path_for(host, "/box/a") == path
