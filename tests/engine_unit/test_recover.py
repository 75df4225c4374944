from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from engine import operations
from engine.errors import NOT_DEPLOYED, EngineError
from engine.goals import pending_goals, resources_of
from engine.obtain import Engine as Installed
from engine.plan import Json, mapping, text
from engine.recover import began, marker, recover
from engine.session import Session
from tests.engine_unit.recover_kit import (
    COMPUTE,
    COMPUTE_URN,
    GROUP,
    IDS,
    NOW,
    PART_URN,
    RG_URN,
    ROLE_ID,
    ROLE_URN,
    ROOT,
    SEALED,
    SPACE_URN,
    VAULT_URN,
    VNET,
    Arm,
    Engine,
    entry_of,
    goal,
    state_of,
    urn,
    whole_plan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine.plan import Plan

FAILED: list[Json] = [
    {"kind": "update", "result": "failed", "startTime": "2026-11-21T09:59:00.000Z"},
    {"kind": "refresh", "result": "failed", "startTime": "2026-11-21T09:00:00.000Z"},
    {"kind": "update", "result": "succeeded", "startTime": "2026-11-20T09:00:00.000Z"},
    {"kind": "update", "result": "failed", "startTime": "2026-11-19T09:00:00.000Z"},
]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = Session(tmp_path, "s", Installed(tmp_path / "bin", "3.255.0", "on PATH", 0.0, cached=True))
    made.prepare()
    return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine(Arm(), whole_plan(), state_of(), history=FAILED)
    for name in ("export", "ask", "operate"):
        monkeypatch.setattr(operations, name, getattr(found, name))
    return found


def lines(session: Session, engine: Engine) -> list[str]:
    return [fact.line for fact in recover(session, engine.arm.cloud())]


def made_all(arm: Arm) -> None:
    for known, id_ in IDS.items():
        if known != ROLE_URN:
            arm.put(id_)
    arm.documents[GROUP.lower()] |= {"location": "westeurope", "tags": {"owner": "us", "cost": "1"}}
    arm.put(IDS[ROLE_URN], principalId="p1", roleDefinitionId=ROLE_ID)


def inputs_of(engine: Engine, known: str) -> Mapping[str, Json]:
    [found] = [item for item in resources_of(engine.state) if item["urn"] == known]
    return mapping(found["inputs"])


def test_what_was_made_and_not_recorded_is_imported_below_its_parents_once(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    assert lines(session, engine) == [
        "imported rg (ResourceGroup): it was made and not recorded",
        "imported ws-vault (Vault): it was made and not recorded",
        "imported ws (Workspace): it was made and not recorded",
        "imported cpu (Compute): it was made and not recorded",
        "imported reads (RoleAssignment): it was made and not recorded",
    ]
    held = {text(item["urn"]): item.get("id") for item in resources_of(engine.state)}
    assert held == {ROOT: None, PART_URN: None, **IDS}
    assert engine.ran == ["preview", "import", "write"]
    engine.history = []
    assert (lines(session, engine), engine.ran[3:]) == ([], ["preview"])


def test_an_imported_cluster_has_the_programs_inputs_and_its_password_stays_ciphertext(
    session: Session, engine: Engine
) -> None:
    made_all(engine.arm)
    recover(session, engine.arm.cloud())
    assert inputs_of(engine, COMPUTE_URN) == {
        "resourceGroupName": "read",
        "workspaceName": "read",
        "computeName": "cpu",
        "properties": {"vmSize": "D2", "password": SEALED},
    }
    assert inputs_of(engine, VAULT_URN) == {
        "resourceGroupName": "read",
        "vaultName": "ws-vault01234567",
        "__createBeforeDelete": True,
    }
    [cluster] = [item for item in resources_of(engine.state) if item["urn"] == COMPUTE_URN]
    assert cluster["dependencies"] == [RG_URN, SPACE_URN]
    assert cluster["propertyDependencies"] == {
        "resourceGroupName": [RG_URN], "workspaceName": [SPACE_URN], "computeName": [], "properties": [],
    }  # fmt: skip


def test_a_recover_that_was_killed_after_its_import_is_finished_by_the_next(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    raw = [entry_of(known, engine.plan, id_, read={}) for known, id_ in IDS.items() if known == COMPUTE_URN]
    rest = [entry_of(known, engine.plan, id_) for known, id_ in IDS.items() if known != COMPUTE_URN]
    engine.state = state_of(*rest, *raw)
    assert lines(session, engine) == ["put cpu (Compute) right in the state: its import had been cut off"]
    assert mapping(inputs_of(engine, COMPUTE_URN)["properties"])["password"] == SEALED


def test_what_is_gone_is_forgotten_and_so_is_what_was_deleted_to_be_replaced(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    del engine.arm.documents[IDS[ROLE_URN].lower()]
    entries = [entry_of(known, engine.plan, id_) for known, id_ in IDS.items()]
    engine.state = state_of(*(entry | {"pendingReplacement": entry["urn"] == COMPUTE_URN} for entry in entries))
    assert lines(session, engine) == [
        "forgot cpu (Compute): it is gone from the cloud",
        "forgot reads (RoleAssignment): it is gone from the cloud",
        "imported cpu (Compute): it was made and not recorded",
    ]


def test_what_comes_up_or_goes_is_waited_for(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    engine.arm.put(IDS[COMPUTE_URN], provisioningState="Deleting")
    engine.arm.put(IDS[SPACE_URN], provisioningState="Creating")
    engine.state = state_of(*(entry_of(known, engine.plan, id_) for known, id_ in IDS.items() if known != SPACE_URN))
    found = lines(session, engine)
    assert found == [
        "forgot cpu (Compute): it is gone from the cloud",
        "imported ws (Workspace): it was made and not recorded",
    ]
    assert set(engine.arm.slept) == {2.0}


def test_what_came_up_broken_is_imported_with_its_trouble_so_that_up_sends_it_again(
    session: Session, engine: Engine
) -> None:
    made_all(engine.arm)
    engine.arm.put(IDS[COMPUTE_URN], provisioningState="Failed")
    recover(session, engine.arm.cloud())
    errors = {text(item["urn"]): item["initErrors"] for item in resources_of(engine.state) if "initErrors" in item}
    assert errors == {COMPUTE_URN: ["it came up as Failed"]}


def test_what_was_there_before_the_operation_that_died_is_not_taken(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    engine.arm.put(IDS[SPACE_URN], at="2026-11-21T09:50:00Z")
    engine.state = state_of(
        entry_of(RG_URN, engine.plan, IDS[RG_URN]), entry_of(VAULT_URN, engine.plan, IDS[VAULT_URN])
    )
    assert lines(session, engine) == [
        f"{name} ({kind}) is there, and no dead operation of this stack made it. "
        f"To take it over: invoke adopt {name} --stack s"
        for name, kind in (("ws", "Workspace"), ("cpu", "Compute"), ("reads", "RoleAssignment"))
    ]


@pytest.mark.parametrize("why", ["old", "tags", "location", "nothing failed"])
def test_a_group_that_is_somebody_elses_keeps_all_that_is_in_it(session: Session, engine: Engine, why: str) -> None:
    made_all(engine.arm)
    match why:
        case "old":
            engine.arm.put(IDS[VAULT_URN], at="2026-11-21T09:00:00Z")
        case "tags":
            engine.arm.documents[GROUP.lower()]["tags"] = {"owner": "them"}
        case "location":
            engine.arm.documents[GROUP.lower()]["location"] = "North Europe"
        case _:
            engine.history = FAILED[2:]
    assert {fact.what for fact in recover(session, engine.arm.cloud())} == {"foreign"}
    assert resources_of(engine.state) == resources_of(state_of())


def test_a_resource_that_the_state_holds_under_its_former_urn_is_left_to_the_alias(
    session: Session, engine: Engine
) -> None:
    made_all(engine.arm)
    entries = [entry_of(known, engine.plan, id_) for known, id_ in IDS.items()]
    engine.state = state_of(*({**entry, "urn": f"{entry['urn']}-former"} for entry in entries))
    assert lines(session, engine) == []


def test_pending_operations_are_struck_off_after_their_resource_was_looked_up(session: Session, engine: Engine) -> None:
    made_all(engine.arm)
    other = urn(VNET, "gone-from-the-program")
    inputs = {"resourceGroupName": "rg", "virtualNetworkName": "old"}
    engine.plan = {key: value for key, value in engine.plan.items() if key == RG_URN}
    making = entry_of(other, {other: goal(VNET, "gone-from-the-program", inputs)}, "x") | {"id": ""}
    pending: list[Json] = [{"type": "creating", "resource": making}, {"type": "deleting", "resource": making}]
    engine.state = state_of(entry_of(RG_URN, engine.plan, GROUP), pending=pending)
    assert [*pending_goals(engine.state)] == [other]
    engine.arm.put(f"{GROUP}/providers/Microsoft.Network/virtualNetworks/old")
    engine.plan[other] = goal(VNET, "gone-from-the-program", inputs)
    assert lines(session, engine) == [
        "imported gone-from-the-program (VirtualNetwork): it was made and not recorded",
        "struck off that gone-from-the-program (VirtualNetwork) was creating",
        "struck off that gone-from-the-program (VirtualNetwork) was deleting",
    ]
    assert "pending_operations" not in mapping(engine.state["deployment"])


@pytest.mark.parametrize("outputs", [{}, {"name": "cpu", "properties": {"provisioningState": "Creating"}}])
def test_what_was_recorded_without_the_services_last_answer_is_read_again(
    session: Session, engine: Engine, outputs: dict[str, Json]
) -> None:
    made_all(engine.arm)
    entries = [entry_of(known, engine.plan, id_) for known, id_ in IDS.items()]
    engine.state = state_of(*(item | ({"outputs": outputs} if item["urn"] == COMPUTE_URN else {}) for item in entries))
    wanted = mapping(mapping(mapping(engine.plan[COMPUTE_URN])["goal"])["inputDiff"])
    engine.plan[COMPUTE_URN] = goal(COMPUTE, "cpu", {**mapping(wanted["adds"]), "computeName": "another"}, {}, PART_URN)
    assert lines(session, engine) == ["read cpu (Compute) again: the cloud's last answer was lost"]
    assert inputs_of(engine, COMPUTE_URN)["computeName"] == "cpu"
    assert engine.ran == ["preview", "refresh", "write"]


def test_a_stack_that_kept_nothing_has_nothing_to_recover(
    session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_session: Session) -> dict[str, Json]:
        raise EngineError("stack s was never brought up", exit_code=NOT_DEPLOYED)

    monkeypatch.setattr(operations, "export", missing)
    assert lines(session, engine) == []


def locked(session: Session, pid: int, since: str = NOW, host: str | None = None) -> Path:
    folder = session.data / "pulumi" / ".pulumi" / "locks" / "organization" / "p" / "s"
    folder.mkdir(parents=True)
    lock = {"pid": pid, "username": "jo", "hostname": host or socket.gethostname(), "timestamp": since}
    (folder / "1.json").write_text(json.dumps(lock), "utf-8")
    return folder / "1.json"


def dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_dead_holders_lock_goes_and_tells_when_it_began(session: Session, engine: Engine) -> None:
    pid, made = dead(), engine.arm
    path = locked(session, pid, "2026-11-21T09:58:30.123456789Z")
    engine.history = []
    made_all(made)
    made.put(IDS[SPACE_URN], at="2026-11-21T09:53:00Z")
    found = lines(session, engine)
    gone = "that process is dead: the lock was taken away"
    who = f"jo on {socket.gethostname()}, process {pid}, since 2026-11-21T09:58:30.123456789Z"
    assert (found[0], path.exists(), marker(session).exists()) == (f"stack s was locked by {who}; {gone}", False, False)
    assert "To take it over: invoke adopt ws --stack s" in found[-3]


def test_a_lock_in_a_backend_of_the_users_own_is_its_holders_to_cancel(
    session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_session: Session, _arguments: Sequence[str], _on_event: None) -> Plan:
        raise EngineError("stack s is locked by another operation", "as ever", exit_code=12)

    monkeypatch.setattr(operations, "operate", refuse)
    with pytest.raises(EngineError, match="as ever"):
        recover(session, engine.arm.cloud())
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://team")
    with pytest.raises(EngineError) as caught:
        recover(session, engine.arm.cloud())
    assert caught.value.hint == "Wait for it to end. If that process is gone: pulumi cancel --stack s"


def test_a_file_that_was_being_written_is_taken_away_and_another_stacks_is_not(
    session: Session, engine: Engine
) -> None:
    backend = session.data / "pulumi" / ".pulumi"
    files = {
        "stacks/p/s.json.attrs": "",
        "stacks/p/s.json": "",
        "stacks/p/s.json.bak.18ea0831175c4274.tmp": "{",
        "stacks/p/other.json.attrs": "",
        "history/p/s/s-1.history.json.attrs": "{}",
        "history/p/s/s-2.history.json.attrs": "{",
    }
    for name, words in files.items():
        (backend / name).parent.mkdir(parents=True, exist_ok=True)
        (backend / name).write_text(words, "utf-8")
    assert lines(session, engine) == [
        f"took away {name}: the engine was killed while it wrote it"
        for name in ("s.json.attrs", "s-2.history.json.attrs")
    ]
    left = sorted(str(path.relative_to(backend)) for path in backend.rglob("*") if path.is_file())
    assert left == ["history/p/s/s-1.history.json.attrs", "stacks/p/other.json.attrs", "stacks/p/s.json"]


def test_a_recover_that_was_killed_still_knows_when_the_operation_began(session: Session, engine: Engine) -> None:
    locked(session, dead(), "2026-11-21T09:58:30.5+00:00")
    operations.unlock(session, before=lambda since: (marker(session).write_text(since, "utf-8"), None)[1])
    assert began(session) == datetime(2026, 11, 21, 9, 58, 30, 500000, UTC)
    engine.history = []
    assert began(session) == datetime(2026, 11, 21, 9, 58, 30, 500000, UTC)
    marker(session).unlink()
    assert began(session) is None


def test_a_holder_on_another_machine_may_live(session: Session, engine: Engine) -> None:
    path = locked(session, dead(), host="another")
    with pytest.raises(EngineError) as caught:
        recover(session, engine.arm.cloud())
    assert (caught.value.exit_code, path.exists()) == (12, True)
    assert caught.value.message.startswith("stack s is locked by jo on another, process ")


def test_in_a_backend_of_the_users_own_locks_are_left_and_the_rest_is_done(
    session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locked(session, dead())
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://team")
    made_all(engine.arm)
    assert (len(lines(session, engine)), path.exists()) == (5, True)
