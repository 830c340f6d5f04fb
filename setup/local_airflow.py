"""`make airflow`: a local Airflow of scheduler, DAG processor and UI; `make airflow-stop` ends it.

Whatever it starts carries a mark in its environment, down to Spark's JVM: so nothing outlives a stop,
not even where a process had left the group that it was started in.
"""

import argparse
import base64
import configparser
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
AIRFLOW = Path(sys.executable).parent / "airflow"
MARK = "NIGHTSHELF_LOCAL_AIRFLOW"  # its value is the AIRFLOW_HOME: two of them may run side by side
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 20

logger = logging.getLogger(__name__)


class AirflowError(Exception):
    """A local Airflow that cannot start or does not run on, and what to do about it."""


def main() -> int:
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("start", "stop"))
    parser.add_argument("--port", type=int, default=8080, help="port of the UI on 127.0.0.1")
    arguments = parser.parse_args()
    home = airflow_home()
    if arguments.command == "stop":
        count = stop_all(home)
        logger.info(
            "Airflow stopped." if count else "No local Airflow runs in %s.", *() if count else (home,)
        )
        return 0
    try:
        start(home, arguments.port)
    except AirflowError as error:
        logger.error("%s", error)
        return 1
    return 0


def airflow_home() -> Path:
    nightshelf_home = Path(os.environ.get("NIGHTSHELF_HOME") or REPOSITORY / ".nightshelf").absolute()
    return nightshelf_home / "airflow"


def start(home: Path, port: int) -> None:
    """Runs the three parts of Airflow until a signal comes or one of them ends, then stops all."""
    if marked_processes(home):
        raise AirflowError(f"A local Airflow runs in {home} already: `make airflow-stop` ends it.")
    check_port(port)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, raise_interrupt)
    write_settings(home, port)
    environment = airflow_environment(home)
    try:
        run_airflow(["db", "migrate"], environment, home)
        run_airflow(["dags", "reserialize"], environment, home)
        parts = start_parts(environment, home, port)
        wait_until_healthy(parts, home, port)
        logger.info("%s", welcome(home, port))
        wait_for_end(parts, home)
    except KeyboardInterrupt:
        logger.info("Stopping Airflow")
    finally:
        stop_all(home)
        logger.info("Airflow stopped.")


def raise_interrupt(*_: object) -> None:
    """Also for SIGINT: a shell that starts a job in the background makes Python ignore it."""
    raise KeyboardInterrupt


def check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise AirflowError(
                f"Port {port} is taken: choose another, `make airflow AIRFLOW_PORT=8090`."
            ) from error


def write_settings(home: Path, port: int) -> None:
    """Writes airflow.cfg, so that AIRFLOW_HOME is all that the airflow command needs; keeps its secrets."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "airflow.cfg"
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(path)
    secret = {
        ("core", "fernet_key"): base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        ("api", "secret_key"): secrets.token_urlsafe(32),
        ("api_auth", "jwt_secret"): secrets.token_urlsafe(32),
    }
    wanted = {
        ("core", "dags_folder"): str(REPOSITORY / "dags"),
        ("core", "load_examples"): "False",
        ("core", "parallelism"): "2",  # one Spark job, and an alert beside it
        ("core", "simple_auth_manager_all_admins"): "True",  # no login: only this machine reaches it
        ("core", "execution_api_server_url"): f"http://127.0.0.1:{port}/execution/",
        ("api", "base_url"): f"http://127.0.0.1:{port}",
        ("api", "workers"): "1",
        ("dag_processor", "parsing_processes"): "1",
    }
    for (section, option), value in {**secret, **wanted}.items():
        if not settings.has_section(section):
            settings.add_section(section)
        if (section, option) in wanted or not settings.has_option(section, option):
            settings.set(section, option, value)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        settings.write(file)


def airflow_environment(home: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    return {
        **environment,
        MARK: str(home),
        "SPT_NOENV": "1",  # Airflow sets process titles, which would write over the mark
        "AIRFLOW_HOME": str(home),
        "NIGHTSHELF_HOME": str(home.parent),
        "NO_PROXY": "127.0.0.1,localhost",
    }


def run_airflow(arguments: list[str], environment: Mapping[str, str], home: Path) -> None:
    logger.info("airflow %s", " ".join(arguments))
    log = log_file(home, arguments[0])
    with log.open("a") as output:
        command = [str(AIRFLOW), *arguments]
        done = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        raise AirflowError(f"`airflow {' '.join(arguments)}` failed:\n{last_lines(log)}")


def start_parts(environment: Mapping[str, str], home: Path, port: int) -> dict[str, subprocess.Popen[bytes]]:
    """Starts each part in a session of its own, where Ctrl-C in this terminal does not reach it."""
    commands = {
        "api-server": ["--host", "127.0.0.1", "--port", str(port)],
        "scheduler": ["--skip-serve-logs"],  # the UI reads the files itself
        "dag-processor": [],
    }
    parts = {}
    for name, options in commands.items():
        with log_file(home, name).open("a") as output:
            parts[name] = subprocess.Popen(
                [str(AIRFLOW), name, *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    return parts


def wait_until_healthy(parts: Mapping[str, subprocess.Popen[bytes]], home: Path, port: int) -> None:
    logger.info("Starting scheduler, DAG processor and UI")
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while unhealthy := unhealthy_parts(port):
        check_parts(parts, home)
        if time.monotonic() > deadline:
            raise AirflowError(f"Not healthy after {START_TIMEOUT_SECONDS} s: {unhealthy}; see {home}/logs.")
        time.sleep(0.5)


def unhealthy_parts(port: int) -> list[str]:
    """The parts that Airflow's own health page misses; triggers are not used here."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5) as answer:
            health = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return ["api-server"]
    parts = ("metadatabase", "scheduler", "dag_processor")
    return [part for part in parts if (health.get(part) or {}).get("status") != "healthy"]


def wait_for_end(parts: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    while marked_processes(home):
        check_parts(parts, home)
        time.sleep(1)


def check_parts(parts: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    for name, process in parts.items():
        code = process.poll()
        if code is not None and code not in {0, -signal.SIGTERM}:
            raise AirflowError(f"airflow {name} ended with code {code}:\n{last_lines(log_file(home, name))}")


def log_file(home: Path, name: str) -> Path:
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def last_lines(log: Path) -> str:
    return "\n".join([*log.read_text(errors="replace").splitlines()[-15:], f"(the whole log: {log})"])


def marked_processes(home: Path) -> list[psutil.Process]:
    """Every process that was started by the local Airflow of this home, however far down."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # it has ended, or it is somebody else's
            continue
    return found


def stop_all(home: Path) -> int:
    """Ends all marked processes, first asking; returns how many there were."""
    processes = marked_processes(home)
    signal_all(processes, signal.SIGTERM)
    psutil.wait_procs(processes, timeout=STOP_TIMEOUT_SECONDS)
    while survivors := marked_processes(home):  # a dying parent may have started another
        signal_all(survivors, signal.SIGKILL)
        psutil.wait_procs(survivors, timeout=STOP_TIMEOUT_SECONDS)
    return len(processes)


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def welcome(home: Path, port: int) -> str:
    return f"""
Airflow runs:  http://127.0.0.1:{port}  (no login; only this machine reaches it)
Logs:          {home}/logs

In another terminal:
  export AIRFLOW_HOME={home}
  {AIRFLOW} dags unpause nightly
  {AIRFLOW} dags trigger nightly --logical-date 2017-12-02
  {AIRFLOW} backfill create --dag-id nightly --max-active-runs 1 \\
      --from-date 2017-12-01 --to-date 2017-12-03

Stop:  Ctrl-C here, or `make airflow-stop`."""


if __name__ == "__main__":
    sys.exit(main())
