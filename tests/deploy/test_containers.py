"""Both shipped deployments start as they are written: read-only, as nobody, without a home."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import Container, Host, Volume
from deployment import CLASSES, COMPOSE, paint
from test_manifests import WORKLOADS

from deploy.kit import Address
from deploy.provisioning import provision

SELLERS = ("seller1", "seller2", "seller3")
ENTITIES = ("entity1", "entity2")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    opened = Host(tmp_path, ["cloud", "parley-cloud"])
    yield opened
    opened.close()


def service(name: str, folder: Path) -> Container:
    """A service of compose.yaml; its relative folders are in `folder`, and made as the engine makes them."""
    written = COMPOSE[name]
    volumes = [Volume(path) for path in written["tmpfs"]]
    for words in written["volumes"]:
        source, path, *readonly = words.split(":")
        (folder / source).mkdir(parents=True, exist_ok=True)
        volumes.append(Volume(path, folder / source, writable=not readonly))
    assert written["read_only"]
    return Container(written["command"], int(written["user"].partition(":-")[2].partition(":")[0]), volumes)


def workload(name: str, folder: Path) -> Container:
    """A stateful set; a secret's files are links to files in a hidden folder, as kubelet makes them."""
    (pod,) = [each["spec"]["template"]["spec"] for each in WORKLOADS if each["metadata"]["name"] == name]
    (written,) = pod["containers"]
    assert written["securityContext"]["readOnlyRootFilesystem"]
    sources: dict[str, Path | None] = {"state": folder / name / "state"}
    for volume in pod["volumes"]:
        if "secret" in volume:
            kit, sources[volume["name"]] = folder / "kit" / name.removeprefix("parley-"), folder / name / "secret"
            data = folder / name / "secret" / "..data"
            data.mkdir(parents=True)
            for file in kit.iterdir():
                if file.is_file():
                    (data / file.name).write_bytes(file.read_bytes())
                    (data / file.name).chmod(volume["secret"]["defaultMode"])
                    data.with_name(file.name).symlink_to(Path("..data") / file.name)
        else:
            claimed = volume.get("persistentVolumeClaim")
            sources[volume["name"]] = folder / claimed["claimName"] if claimed else None
    for source in sources.values():
        if source:
            source.mkdir(parents=True, exist_ok=True)
    volumes = [
        Volume(mount["mountPath"], sources[mount["name"]], writable=not mount.get("readOnly"))
        for mount in written["volumeMounts"]
    ]
    return Container(written["args"], pod["securityContext"]["runAsUser"], volumes)


def pictures(folder: Path) -> None:
    """What the owners of the services have to bring."""
    for seed, name in enumerate(SELLERS):
        paint(folder / "albums" / name, [0, 1, 0, 1, 5], seed)
    paint(folder / "wanted", [0, 0, 0, 1, 1], 100)
    for entity in ENTITIES:
        for breed in CLASSES:
            paint(folder / "images" / entity / breed, [0] * 12, 7, 32)
    paint(folder / "public", [1, 3, 5, 7] * 10, 99, 32)


def locked_down(*words: str, writable: Path) -> Container:
    """A command of a user who can write to one folder and to /tmp."""
    return Container(words, 12345, [Volume("/tmp"), Volume("/mine", writable)])


def test_a_locked_down_user_imports_everything(host: Host, tmp_path: Path) -> None:
    assert host.run("list", locked_down("list", writable=tmp_path)) == 0, host.log("list")


@pytest.mark.slow
def test_a_locked_down_user_simulates(host: Host, tmp_path: Path) -> None:
    words = ["run", "purchase", "--set", "sellers.count=4", "--out", "/mine/run"]
    assert host.run("simulation", locked_down(*words, writable=tmp_path)) == 0, host.log("simulation")
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
def test_compose_starts_as_it_is_written_and_sells(host: Host, tmp_path: Path) -> None:
    pictures(tmp_path)
    assert host.run("provision", service("provision", tmp_path)) == 0, host.log("provision")
    host.start("cloud", service("cloud", tmp_path))
    host.wait_for("cloud", '"ready"')
    for name in (*SELLERS, *ENTITIES):
        host.start(name, service(name, tmp_path))
        host.wait_for(name, "attached to")
    assert host.run("buyer1", service("buyer1", tmp_path)) == 0, host.log("buyer1")
    assert list((tmp_path / "bought").rglob("*.png"))
    assert host.run("status", service("status", tmp_path)) == 0, host.log("status")
    for name in (*SELLERS, *ENTITIES, "cloud"):
        assert host.stop(name) == 0, host.log(name)


@pytest.mark.slow
def test_kubernetes_starts_as_it_is_written(host: Host, tmp_path: Path) -> None:
    provision(tmp_path / "kit", Address("parley-cloud"), {"seller": 1, "buyer": 1, "entity": 2})
    for name in ENTITIES:
        for breed in CLASSES:
            paint(tmp_path / f"parley-{name}-data" / "images" / breed, [0] * 12, 7, 32)
        paint(tmp_path / f"parley-{name}-data" / "public", [1, 3, 5, 7] * 10, 99, 32)
    host.start("parley-cloud", workload("parley-cloud", tmp_path))
    host.wait_for("parley-cloud", '"ready"')
    for name in ("parley-entity1", "parley-entity2"):
        host.start(name, workload(name, tmp_path))
        host.wait_for(name, "attached to")
    for name in ("parley-entity1", "parley-entity2", "parley-cloud"):
        assert host.stop(name) == 0, host.log(name)
