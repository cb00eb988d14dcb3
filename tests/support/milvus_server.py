"""A real Milvus server (2.3.5, the PyPI package `milvus`) for tests, benchmarks and users, in a network of its own.

    python tests/support/milvus_server.py COMMAND ARGS...

enters a network namespace, starts the server, waits until it is usable, runs COMMAND with its address in
VECVER_TEST_MILVUS, stops the server, and exits as COMMAND did. Inside such a command, `MilvusServer` gives a
test a server of its own, to be killed and started again. A server dies with the process that started it.

Needs Linux on x86_64, unshare and setpriv (util-linux) and ip (iproute2). The binary keeps lock files in /run/milvus
or, for others than root, /tmp/milvus, so two users of one machine cannot both run it. Read from the environment:
    VECVER_MILVUS_PYTHON   a Python that has the package `milvus`; default: the running one
    VECVER_MILVUS_BASE     where the package is unpacked once (246 MB); default: the user's cache folder

Decisions (2026-11-21)
- A namespace, since this server listens on all interfaces without auth whatever it is told; `MilvusServer` refuses
  to start outside of one.
- We start the binary ourselves, not by the package's own `MilvusServer`: that one must be in our environment, takes
  other ports at a restart (its old ones linger in TIME_WAIT), and leaves the server running when we are killed.
- Stopped by SIGKILL one second after SIGTERM: with a loaded collection a SIGTERM alone hung for minutes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = "root:Milvus"  # the user that every server begins with, and its password
PATIENCE = 120  # seconds until a started server must be usable; 4 to 12 were seen
ENTERED = "VECVER_MILVUS_NAMESPACE"  # the network namespace that `enter` made, as /proc/self/ns/net names it

# Run as `python -c PREPARE BASE FOLDER` by a Python that has the package: unpacks it, writes a server's settings,
# prints its port and that of its health page. The ports lie below those that the kernel gives to clients: a client
# that retries while the server is down could be given the server's own. The server's etcd needs a file for its ports,
# else it takes 2380 and there can be one server only.
PREPARE = """
import random, socket, sys
import milvus
base, folder, authorized = sys.argv[1:]
milvus._initialize_data_files(base)
config = milvus.MilvusServerConfig(data_dir=folder)
config.resolve_storage()
held = []
def port():
    while True:
        try:
            held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 30000))))
            return held[-1].getsockname()[1]
        except OSError:
            pass
for name in config.configurable_items:
    if name.endswith("_port"):
        config.set(name, port())
config.set("authorization_enabled", bool(authorized))
config.set("proxy.timeTickInterval", "20")  # a Strong read takes 26 ms instead of 229
config.set("common.session.ttl", "10")  # seconds until a killed server is forgotten, before which nothing can be loaded
config.write_config()
client, peer = (f"http://127.0.0.1:{n}" for n in (config.get("etcd_port"), port()))
with open(folder + "/configs/etcd.yaml", "w") as etcd:
    etcd.write(f"listen-client-urls: {client}\\nadvertise-client-urls: {client}\\n")
    etcd.write(f"listen-peer-urls: {peer}\\ninitial-advertise-peer-urls: {peer}\\ninitial-cluster: default={peer}\\n")
print(config.get("proxy_port"), port())
"""


class MilvusServer:
    """One Milvus server on loopback that can be killed, and started again on the same data and port.

    `folder` holds its data (wiped by the first `start`), configs and logs. Without one it is a temporary folder,
    removed by `stop`. As a context: started on entering, stopped on leaving. `authorized`: it asks for ROOT.
    """

    def __init__(self, folder: Path | None = None, *, authorized: bool = False) -> None:
        self._authorized = authorized
        self._temporary = folder is None
        self._folder = Path(folder or tempfile.mkdtemp(prefix="vecver-milvus-")).absolute()
        self._ports: tuple[str, str] | None = None  # its own and its health page's, from the first start on
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel kills the server when the thread that started it ends, so that one is ours and stays.
        self._starter = ThreadPoolExecutor(1)

    @property
    def uri(self) -> str:
        """For `client_of`; the same after a restart. Raises RuntimeError before the first."""
        if self._ports is None:
            raise RuntimeError("this Milvus was never started: call start()")
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Starts the server, again on the data that it left, and waits until its collections can be listed.

        Returns `uri`. What was loaded before must be loaded again (`load_collection`). Raises RuntimeError when it
        runs already, cannot run here, or is not usable after PATIENCE seconds.
        """
        if self.running:
            raise RuntimeError(f"this Milvus runs already, at {self.uri}: kill() or stop() it first")
        if self._ports is None:
            self._ports = self._prepare()
        self._process = self._starter.submit(self._spawn).result()
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self.uri

    def kill(self) -> None:
        """SIGKILL: nothing that was acknowledged is lost. `start` brings it back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ends the server for good, and removes its folder if that was a temporary one."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self.kill()
        self._starter.shutdown()
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> MilvusServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> tuple[str, str]:
        from filelock import FileLock

        if not entered():
            raise RuntimeError(
                "this server would listen on all interfaces: run under `python tests/support/milvus_server.py`"
            )
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        base().mkdir(parents=True, exist_ok=True)
        with FileLock(base() / "lock"):
            made = subprocess.run(
                [python(), "-I", "-c", PREPARE, base(), self._folder, "yes" if self._authorized else ""],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        own, health = made.stdout.split()
        return own, health

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self._ports is not None
        binaries = base() / "bin"
        settings = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": self._ports[1],
            "ETCD_CONFIG_PATH": str(self._folder / "configs/etcd.yaml"),
            "LD_LIBRARY_PATH": str(binaries),
        }
        with open(self._folder / "logs/milvus.log", "ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", binaries / "milvus", "run", "standalone"],
                cwd=self._folder,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is meant for the command
            )

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while self.running:
            try:
                entrance = {"Authorization": f"Bearer {ROOT}"}
                asked = urllib.request.Request(f"{self.uri}/v1/vector/collections", headers=entrance)
                with urllib.request.urlopen(asked, timeout=5) as answer:
                    if json.load(answer)["code"] == 200:
                        return
                    reason = "it answers, but not well"
            except (OSError, ValueError) as err:
                reason = str(err)
            if time.monotonic() > end:
                raise RuntimeError(f"Milvus is not usable after {PATIENCE} s: {reason}")
            time.sleep(0.1)
        log = (self._folder / "logs/milvus.log").read_text("utf-8", "replace")
        raise RuntimeError(f"Milvus ended by itself: {log[-2000:]}")


def client_of(uri: str, database: str = "default") -> Any:
    """A client with a channel of its own: pymilvus keeps a shared one, and gives it to the next server at its port."""
    from pymilvus import MilvusClient

    return MilvusClient(uri=uri, db_name=database, dedicated=True)


def empty(uri: str) -> None:
    """Drops every alias and collection of every database of a Milvus that tests share, and the databases."""
    with closing(client_of(uri)) as client:
        databases = client.list_databases()
    for database in databases:
        with closing(client_of(uri, database)) as client:
            for name in client.list_collections():
                for alias in client.describe_collection(name)["aliases"]:
                    client.drop_alias(alias)
                client.drop_collection(name)
            if database != "default":
                client.drop_database(database)


def python() -> str:
    """A Python that has the package `milvus`."""
    return os.environ.get("VECVER_MILVUS_PYTHON") or sys.executable


def base() -> Path:
    """Where the package is unpacked, once for all servers."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VECVER_MILVUS_BASE") or Path(cache) / "vecver" / "milvus-2.3.5").absolute()


def entered() -> bool:
    """Whether this process is in a network namespace that `enter` made."""
    mark = os.environ.get(ENTERED)
    return mark is not None and mark == os.readlink("/proc/self/ns/net")


def obstacle() -> str | None:
    """Why the server cannot run here, and what to do; None when it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "the package milvus==2.3.5 is for Linux on x86_64 only: give a server of your own in VECVER_TEST_MILVUS"
    for tool, package in (("unshare", "util-linux"), ("setpriv", "util-linux"), ("ip", "iproute2")):
        if shutil.which(tool) is None:
            return f"`{tool}` is missing: install {package}"
    if subprocess.run([*unshare(), "true"], capture_output=True).returncode != 0:
        return "network namespaces are not allowed here (unshare failed): run as root, or allow user namespaces"
    find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('milvus') is None)"
    if shutil.which(python()) is None or subprocess.run([python(), "-I", "-c", find]).returncode != 0:
        return f"{python()} has no package milvus: pip install milvus==2.3.5, name its Python in VECVER_MILVUS_PYTHON"
    return None


def unshare() -> list[str]:
    """The command that runs another in a new network namespace, as root in it."""
    return ["unshare", "-n" if os.geteuid() == 0 else "-rn"]


def enter(arguments: list[str]) -> None:
    """Becomes this program again, in a network namespace that has a loopback only, and so no proxy."""
    script = f'ip link set lo up && export no_proxy=127.0.0.1 {ENTERED}="$(readlink /proc/self/ns/net)" && exec "$@"'
    os.execvp("unshare", [*unshare(), "sh", "-c", script, "sh", sys.executable, __file__, *arguments])


def run(command: list[str]) -> int:
    """The exit code of a command that was run beside a server; 128 + the signal's number if one ended it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the command too, which decides
    with MilvusServer() as server:
        code = subprocess.run(command, env={**os.environ, "VECVER_TEST_MILVUS": server.uri}).returncode
    return code if code >= 0 else 128 - code


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/support/milvus_server.py COMMAND ARGS...")
    if entered():
        sys.exit(run(sys.argv[1:]))
    if reason := obstacle():
        sys.exit(f"milvus_server: {reason}")
    enter(sys.argv[1:])


if __name__ == "__main__":
    main()
