"""Connects to a Ray cluster, or starts one on this machine, for the time of one call; translates Ray's errors.

    ray                 the session that this process has; else RAY_ADDRESS; else the cluster of this machine; else a
                        new one here, as `ray.init()` does
    ray:local           a new one here
    ray://HOST[:PORT]   that cluster, by Ray's client protocol (port 10001)

Decisions
1. A session that the caller has is used and left open. One that was opened here is closed at the end.
2. Ray replaces the handler of SIGTERM in the process that connects. It is put back: it belongs to the program.
3. Output of workers does not appear here. What they have to say comes back as values and errors.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from vecver.errors import BackendError, InvalidInputError, VecverError, missing_package, say

ANY: Final = "ray"
LOCAL: Final = "ray:local"
CLIENT: Final = "ray://"
_QUIET: Final = {"log_to_driver": False, "logging_level": "ERROR"}
_CLIENT_PORT: Final = 10001


@dataclass(frozen=True)
class Cluster:
    """What a cluster has in all."""

    nodes: int
    cpus: int
    gpus: int


def check_place(place: str) -> None:
    """Raises InvalidInputError unless `place` names a cluster as above, and Ray is installed."""
    if place not in (ANY, LOCAL) and not (place.startswith(CLIENT) and place.removeprefix(CLIENT).strip("/")):
        raise InvalidInputError(
            f"an ingest does not run on {place!r}",
            code="invalid_place",
            hint=say('on="ray", on="ray:local" or on="ray://HOST:10001"', cli="--ray auto, local or ray://HOST:10001"),
        )
    _library()


@contextmanager
def connected(place: str) -> Iterator[Cluster]:
    """The cluster at `place`, for as long as the context lasts.

    Raises InvalidInputError (Ray is not installed, this process is connected elsewhere), BackendError (no cluster
    answers, or it runs another version of Python or Ray).
    """
    ray = _library()
    is_callers = ray.is_initialized()
    if is_callers and place != ANY:
        raise InvalidInputError(
            "this process has a session on Ray already",
            code="ray_connected",
            hint=say('on="ray" uses that session; ray.shutdown() ends it', cli="--ray auto uses that session"),
        )
    if not is_callers:
        _connect(ray, place)
    try:
        yield _described(ray)
    finally:
        if not is_callers:
            ray.shutdown()


def _library() -> Any:
    try:
        import ray
    except ImportError as error:
        raise missing_package("running an ingest on Ray needs", "ray", "vecver[ray]") from error
    return ray


def _connect(ray: Any, place: str) -> None:
    options: dict[str, Any] = dict(_QUIET)
    if place == LOCAL:
        options |= {"address": "local", "include_dashboard": False}
    elif place != ANY:
        host = place.rstrip("/")
        options["address"] = host if ":" in host.removeprefix(CLIENT) else f"{host}:{_CLIENT_PORT}"
    with _own_signals():
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise _refused(place, error) from error


def _refused(place: str, error: Exception) -> BackendError:
    """The error for a cluster that was not connected to."""
    text = " ".join(str(error).split())
    if "ersion mismatch" in text or "versions" in text.lower():
        return BackendError(
            f"the cluster at {place} runs another version of Python or Ray than this process: {text[:300]}",
            code="cluster_version",
            hint="install the same Python, Ray and vecver here and on all nodes; nothing was changed",
        )
    return BackendError(
        f"no Ray cluster answers at {place}: {text[:300]}",
        code="no_cluster",
        hint=say(
            'start one (`ray start --head`), or on="ray:local" runs it on this machine; nothing was changed',
            cli="start one (`ray start --head`), or --ray local runs it on this machine; nothing was changed",
        ),
        retryable=True,
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _described(ray: Any) -> Cluster:
    resources = ray.cluster_resources()
    nodes = sum(1 for node in ray.nodes() if node.get("Alive", node.get("alive")))
    return Cluster(max(1, nodes), max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0)))


def translated(error: Exception) -> VecverError:
    """What a worker raised, if vecver raised it there; else a BackendError that says what was lost."""
    import ray

    cause: Any = error
    while isinstance(cause, ray.exceptions.RayTaskError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, VecverError):
        return cause
    text = next((line for line in reversed(str(cause).splitlines()) if line.strip()), "")[:300]
    if "No module named 'vecver" in str(cause):
        return BackendError(
            "vecver is not installed on a worker of the cluster",
            code="worker_version",
            hint="install the same vecver on all nodes, or name it in Ray's runtime_env; what was embedded is kept",
        )
    if isinstance(cause, ModuleNotFoundError):
        return BackendError(
            f"a worker cannot import {cause.name}, which the embedder that was passed needs",
            code="worker_module",
            hint="install it on all nodes, or name it in Ray's runtime_env; what was embedded is kept",
        )
    return BackendError(
        f"a worker on Ray failed: {type(cause).__name__}: {text}",
        code="worker_failed",
        hint="try again: what was embedded is kept; if it fails again, look at Ray's logs",
        retryable=True,
    )


def kill(actor: Any) -> None:
    """End an actor, also one that is dead."""
    import ray

    with suppress(Exception):  # Ray raises what it likes for an actor that it cannot reach
        ray.kill(actor)
