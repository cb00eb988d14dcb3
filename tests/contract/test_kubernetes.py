"""docker/kubernetes: sound by the schemas of Kubernetes, hardened, and agreeing with the image and the settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from paths import ROOT

FOLDER = ROOT / "docker/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
MANIFESTS: dict[str, dict[str, Any]] = {
    name: yaml.safe_load((FOLDER / name).read_text("utf-8")) for name in KUSTOMIZATION["resources"]
}
POD: dict[str, Any] = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS: dict[str, str] = MANIFESTS["settings.yaml"]["data"]


def test_every_manifest_is_one_of_the_kustomization() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"kustomization.yaml", *MANIFESTS}


@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("name", list(MANIFESTS))
def test_a_manifest_is_what_kubernetes_takes(name: str, version: str) -> None:
    """Strictly: without fields that it would ignore."""
    linter = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate: install vecver[test]")
    linter.validate(MANIFESTS[name], version, strict=True)
    broken = {**MANIFESTS[name], "sped": {}}
    with pytest.raises(linter.ValidationError):
        linter.validate(broken, version, strict=True)


def test_a_pod_may_do_no_more_than_it_must() -> None:
    """The baseline of Kubernetes' Pod Security Standard "restricted", and a root that cannot be written."""
    pod = POD["securityContext"]
    assert pod["runAsNonRoot"] and pod["seccompProfile"]["type"] == "RuntimeDefault"
    own = CONTAINER["securityContext"]
    assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not POD["automountServiceAccountToken"]
    user = (ROOT / "docker/Dockerfile").read_text("utf-8")
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}" in user
    assert all("emptyDir" in volume and volume["emptyDir"]["sizeLimit"] for volume in POD["volumes"])
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}


def test_no_secret_stands_in_a_manifest() -> None:
    (database,) = CONTAINER["env"]
    assert database["name"] == "VECVER_DATABASE" and set(database["valueFrom"]) == {"secretKeyRef"}
    assert not any(word in text.lower() for text in SETTINGS.values() for word in ("password", "secret", "://user:"))
    assert "Secret" not in {manifest["kind"] for manifest in MANIFESTS.values()}


def test_the_settings_are_those_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydantic_settings", reason="no pydantic-settings: install vecver[service]")
    from vecver_service.settings import ServiceSettings, load_settings

    from vecver.settings import NAMES

    names = {name.removeprefix("VECVER_").lower() for name in SETTINGS}
    assert names <= {*ServiceSettings.model_fields, *NAMES}
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    service = load_settings()
    time = service.drain + 2 * service.shutdown_timeout
    assert POD["terminationGracePeriodSeconds"] > time, "Kubernetes waits until the process has ended by itself"
    probe = CONTAINER["readinessProbe"]
    assert service.drain > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert not POD["enableServiceLinks"], "a service of the name vecver would set VECVER_PORT to tcp://..."
    assert int(SETTINGS["VECVER_CACHE_BYTES"]) < 20 << 30 and POD["volumes"][0]["emptyDir"]["sizeLimit"] == "20Gi"


def test_probes_ask_paths_that_need_no_key() -> None:
    paths = {CONTAINER[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"/readyz", "/healthz"}
    labels = MANIFESTS["deployment.yaml"]["spec"]["template"]["metadata"]["labels"].items()
    for name, place in (("service.yaml", "selector"), ("disruption.yaml", "matchLabels")):
        selector = MANIFESTS[name]["spec"]["selector"]
        assert (selector if place == "selector" else selector[place]).items() <= labels
