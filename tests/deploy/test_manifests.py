"""Files of deploy/: well-formed, unprivileged, pinned, and full of commands that exist.

No container engine runs here, so the commands in the files run as plain processes.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from simulations.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
WORKLOADS = [manifest for manifest in MANIFESTS if manifest["kind"] == "StatefulSet"]
PINNED = re.compile(r"[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}")
OURS = "parley:0.2.0"


def dockerfile() -> list[tuple[str, str]]:
    """The instructions: name and arguments."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every parley command of deploy/, with where it stands."""
    for name, service in COMPOSE["services"].items():
        if service["image"] == OURS:
            yield f"compose {name}", service["command"]
    for manifest in WORKLOADS:
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        yield f"kubernetes {manifest['metadata']['name']}", container["args"]
    for where in (DEPLOY / "README.md", DEPLOY.parent / "README.md"):
        for block in re.findall(r"^```\n(.*?)^```$", where.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line.startswith("parley "):
                    yield f"{where.parent.name}/README", shlex.split(line, comments=True)[1:]


COMMANDS = list(commands())


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[f"{where}: {' '.join(words)}" for where, words in COMMANDS])
def test_every_command_is_one_that_parley_takes(where: str, words: list[str]) -> None:
    """Parsed by the command line itself: sub-commands, options and their values."""
    command: Any = typer.main.get_command(app)
    context: click.Context | None = None
    while True:
        context = command.make_context(words[0] if words else "parley", list(words), parent=context)
        words = [*context.protected_args, *context.args]
        if not isinstance(command, click.Group) or not words:
            break
        _, command, words = command.resolve_command(context, words)
        assert command is not None
    assert not context.args


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    instructions = dockerfile()
    bases = [arguments.split()[0] for name, arguments in instructions if name == "FROM"]
    assert len(set(bases)) == 1
    assert PINNED.fullmatch(bases[0])
    last = dict(instructions)
    assert last["USER"] == "10001:10001"
    assert last["ENTRYPOINT"] == '["parley"]'
    assert last["EXPOSE"] == "7443"


def test_the_image_copies_what_there_is() -> None:
    copied = [
        word
        for name, arguments in dockerfile()
        if name == "COPY" and "--from" not in arguments
        for word in arguments.split()[:-1]
    ]
    assert {"strategies", "protocol", "parties", "deploy", "simulations", "pyproject.toml"} <= set(copied)
    for word in copied:
        assert (DEPLOY.parent / word).exists(), word
    (installed,) = (arguments for name, arguments in dockerfile() if name == "RUN" and "pip install" in arguments)
    extras = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"'\.\[([a-z,]+)\]'", installed)
    assert set(wanted.split(",")) <= set(extras)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_of_compose_has_no_privileges_it_does_not_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] not in ("root", "0", "0:0")
    assert not service.keys() & {"privileged", "network_mode", "pid", "cap_add"}
    assert service["image"] == OURS or PINNED.fullmatch(service["image"])
    if service["image"] == OURS:
        assert service["read_only"] is True
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_each_party_of_compose_sees_its_own_kit_only() -> None:
    for name, service in COMPOSE["services"].items():
        volumes = [volume.split(":") for volume in service.get("volumes", [])]
        kits = [source for source, target, *_ in volumes if target == "/kit"]
        if service["image"] == OURS and name != "provision":
            whose = {"cloud-postgres": "cloud", "status": "operator"}.get(name, name)
            assert kits == [f"./kit/{whose}"]
            others = [source for source, *_ in volumes if source.startswith("./kit") and source not in kits]
            assert others == []


def test_provisioning_makes_a_kit_for_every_party_of_compose() -> None:
    words = COMPOSE["services"]["provision"]["command"]
    count = {name: int(words[words.index(f"--{name}") + 1]) for name in ("sellers", "buyers", "entities")}
    singular = {"sellers": "seller", "buyers": "buyer", "entities": "entity"}
    made = {f"{singular[role]}{number + 1}" for role, number in count.items() for number in range(number)}
    parties = {name for name in COMPOSE["services"] if re.fullmatch(r"(seller|buyer|entity)\d+", name)}
    assert parties == made
    assert words[words.index("--cloud") + 1] in COMPOSE["services"]


def test_only_the_cloud_is_reached_from_outside_and_one_cloud_at_a_time() -> None:
    open_ports = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert open_ports == {"cloud": ["7443:7443"], "cloud-postgres": ["7443:7443"]}
    assert COMPOSE["services"]["cloud"]["profiles"] == ["sqlite"]
    assert COMPOSE["services"]["cloud-postgres"]["profiles"] == ["postgres"]
    assert COMPOSE["services"]["cloud-postgres"]["networks"]["default"]["aliases"] == ["cloud"]
    volumes = {v.partition(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", []) if v[0] != "."}
    assert volumes == set(COMPOSE["volumes"])


def test_no_password_stands_in_a_file() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert not re.search(r"password\s*[:=]\s*[\"']?[a-z0-9]", path.read_text(), re.IGNORECASE), path
            assert not re.search(r"://[^/\s]+:[^/\s@]+@", path.read_text()), path


@pytest.mark.parametrize("manifest", WORKLOADS, ids=lambda manifest: str(manifest["metadata"]["name"]))
def test_a_workload_of_kubernetes_is_unprivileged_and_whole(manifest: Any) -> None:
    spec = manifest["spec"]
    template = spec["template"]
    pod = template["spec"]
    assert spec["replicas"] == 1
    assert spec["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["image"] == OURS
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"]["memory"]
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    pictures = {"data": "/data"} if "entity" in manifest["metadata"]["name"] else {}
    assert mounts == {"kit": "/kit", "state": "/state", "tmp": "/tmp", **pictures}
    assert set(mounts) == claims | {volume["name"] for volume in pod["volumes"]}
    (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    assert secret == {"secretName": manifest["metadata"]["name"], "defaultMode": 0o440}
    arguments = container["args"]
    assert arguments[arguments.index("--kit") + 1] == mounts["kit"]
    assert arguments[arguments.index("--state") + 1] == mounts["state"]
    for option in ("--images", "--public") if pictures else ():
        assert arguments[arguments.index(option) + 1].startswith(f"{mounts['data']}/")


def test_the_service_leads_to_the_cloud() -> None:
    (service,) = (manifest for manifest in MANIFESTS if manifest["kind"] == "Service")
    (cloud,) = (manifest for manifest in WORKLOADS if manifest["metadata"]["name"] == "parley-cloud")
    (container,) = cloud["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["selector"] == cloud["spec"]["template"]["metadata"]["labels"]
    (port,) = service["spec"]["ports"]
    assert port["port"] == 7443
    assert {"name": port["targetPort"], "containerPort": 7443} in container["ports"]
    assert container["livenessProbe"]["tcpSocket"]["port"] == port["targetPort"]
    for probe in ("startupProbe", "readinessProbe"):  # at a port that the service does not lead to
        assert container[probe]["httpGet"]["port"] == "metrics"


def test_ray_takes_its_cluster_file() -> None:
    """Judged by Ray's own schema; then: the machines, the image, and GPUs for workers only."""
    pytest.importorskip("ray")
    from ray.autoscaler._private.util import prepare_config, validate_config  # noqa: PLC0415

    written = yaml.safe_load((DEPLOY / "ray-gpu.yaml").read_text())
    validate_config(prepare_config(dict(written)))
    assert written["provider"]["type"] == "local"
    assert len(written["provider"]["worker_ips"]) == written["max_workers"]
    assert written["docker"]["image"] == OURS
    assert "--gpus all" in written["docker"]["worker_run_options"]
    for command in (*written["head_start_ray_commands"], *written["worker_start_ray_commands"]):
        assert shlex.split(command)[0] == "ray"
