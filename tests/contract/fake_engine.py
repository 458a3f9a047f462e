"""A recording of a container engine's CLI: behaves as the manuals of docker and podman say, with processes of the host.

Every call is a line of JSON in `calls`. A container is a process in a session of its own, so that it outlives the CLI
as a real one does; its state is a file named like it. What the inner command sees of mounted folders are the folders
themselves, under the names it was given. Variables other than those handed on do not reach it.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(os.environ["FAKE_ENGINE"])
PULLED = HERE / "pulled"
VALUED = {"--name", "--entrypoint", "--pids-limit", "--memory", "--cpus", "--label", "--mount", "--env", "--add-host"}
VALUED |= {"--user", "--security-opt"}
HOST = "host.docker.internal"
TIDEMILL = "from service.cli.main import main; main()"


def main() -> int:
    arguments = sys.argv[1:]
    with (HERE / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    if (HERE / "away").exists():
        print("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", file=sys.stderr)
        return 125 if arguments[0] == "run" else 1
    return {"image": inspect, "pull": pull, "run": run, "stop": stop, "rm": remove, "ps": ps}[arguments[0]](arguments)


def inspect(arguments: list[str]) -> int:
    return 0 if PULLED.exists() and arguments[-1] in PULLED.read_text() else 1


def pull(arguments: list[str]) -> int:
    if "unknown" in arguments[-1]:
        print("Error response from daemon: manifest unknown", file=sys.stderr)
        return 1
    print(f"Status: Downloaded newer image for {arguments[-1]}")
    PULLED.write_text(arguments[-1])
    return 0


def run(arguments: list[str]) -> int:
    options, rest = parsed(arguments[1:])
    program = options["--entrypoint"][0]
    if (HERE / "bare image").exists():
        print(f'exec: "{program}": executable file not found in $PATH: unknown.', file=sys.stderr)
        return 127
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["FAKE_PYTHONPATH"]}
    for given in options.get("--env", []):
        name, equals, value = given.partition("=")
        environment[name] = value if equals else os.environ[name]
    mounts = [dict(part.split("=", 1) for part in line) for line in csv.reader(options["--mount"])]
    command = [seen(one, mounts) for one in (sys.executable, "-c", TIDEMILL, *rest[1:])]
    inside = {
        name: seen(value, mounts).replace("host.docker.internal", "127.0.0.1") for name, value in environment.items()
    }
    container = subprocess.Popen(command, env=inside, start_new_session=True)
    state = HERE / f"{options['--name'][0]}.container"
    state.write_text(json.dumps({"pid": container.pid, "labels": options["--label"]}))
    try:
        code = container.wait()
    finally:
        # With the first process of a container ends all that is in it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(container.pid, signal.SIGKILL)
        state.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


def parsed(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options and what follows them: the image and its arguments."""
    options: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name = rest.pop(0)
        options.setdefault(name, []).append(rest.pop(0) if name in VALUED else "")
    return options, rest


def seen(text: str, mounts: list[dict[str, str]]) -> str:
    for mount in mounts:
        text = text.replace(mount["target"], mount["source"])
    return text


def stop(arguments: list[str]) -> int:
    end(arguments[-1], signal.SIGTERM)
    for _ in range(int(float(arguments[2]) * 100)):
        if not (HERE / f"{arguments[-1]}.container").exists():
            return 0
        time.sleep(0.01)
    end(arguments[-1], signal.SIGKILL)
    return 0


def remove(arguments: list[str]) -> int:
    end(arguments[-1], signal.SIGKILL)
    (HERE / f"{arguments[-1]}.container").unlink(missing_ok=True)
    return 0


def end(name: str, number: int) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = json.loads((HERE / f"{name}.container").read_text())["pid"]
        if number == signal.SIGKILL:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def ps(arguments: list[str]) -> int:
    wanted = arguments[arguments.index("--filter") + 1].removeprefix("label=")
    for state in HERE.glob("*.container"):
        labels = json.loads(state.read_text())["labels"]
        if wanted in labels:
            [owner] = [one.partition("=")[2] for one in labels if one.startswith("tidemill.daemon=")]
            print(state.stem, owner)
    return 0


if __name__ == "__main__":
    sys.exit(main())
