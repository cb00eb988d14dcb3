"""docker/compose.yaml, as far as it can be held without a Docker engine: pinned, on loopback only, nothing lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "docker/compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_milvus_waits_for_its_etcd_and_its_object_store() -> None:
    assert set(SERVICES) == {"milvus", "etcd", "minio"}
    healthy = {"condition": "service_healthy"}
    assert SERVICES["milvus"]["depends_on"] == {"etcd": healthy, "minio": healthy}
    assert SERVICES["milvus"]["environment"]["ETCD_ENDPOINTS"] == "etcd:2379"
    assert SERVICES["milvus"]["environment"]["MINIO_ADDRESS"] == "minio:9000"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_checked_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./]+:(v\d+\.\d+\.\d+|RELEASE\.[\dTZ-]+)", service["image"]), service["image"]
    assert service["healthcheck"]["test"][0] == "CMD"
    volumes = [volume.split(":")[0] for volume in service["volumes"]]
    assert volumes == [name] and name in COMPOSE["volumes"]


def test_ports_are_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert "127.0.0.1:19530:19530" in ports
    assert not [port for port in ports if not port.startswith("127.0.0.1:")]
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]
