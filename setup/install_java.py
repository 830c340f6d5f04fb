"""Finds Java 17 or newer for Spark, or installs it with the system's package manager."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_JAVA = 17
DEBIAN_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless")  # Debian 13 has no 17
HOMEBREW_PACKAGE = "openjdk@17"

logger = logging.getLogger(__name__)


class JavaError(Exception):
    """No usable Java, and what to do about it."""


def ensure_java() -> None:
    """Returns once Spark will find a Java that it can run on; raises JavaError where it cannot."""
    version = java_version()
    if version < OLDEST_JAVA:
        if os.environ.get("JAVA_HOME"):
            found = f"Java {version}" if version else "no Java"
            raise JavaError(
                f"JAVA_HOME={os.environ['JAVA_HOME']} holds {found}, Spark needs {OLDEST_JAVA} or newer: "
                "point it to one, or unset it."
            )
        logger.info("Java %s or newer was not found: installing it", OLDEST_JAVA)
        install_java()
        version = java_version()
    if version < OLDEST_JAVA:
        raise JavaError("Java was installed but `java -version` does not answer: set JAVA_HOME to it.")


def java_version() -> int:
    """The major version of the Java that Spark would take; 0 where there is none."""
    java_home = os.environ.get("JAVA_HOME")
    java = str(Path(java_home, "bin", "java")) if java_home else "java"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    return parse_java_version(answer.stderr)


def parse_java_version(text: str) -> int:
    """The major version named by `java -version`: 8 for "1.8.0_402", 17 for "17.0.15"; 0 for none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else 0


def install_java() -> None:
    if sys.platform == "darwin" and shutil.which("brew"):
        install_with_homebrew()
    elif shutil.which("apt-get") and (os.geteuid() == 0 or shutil.which("sudo")):
        install_with_apt()
    else:
        raise JavaError(
            f"Java {OLDEST_JAVA} or newer is missing and cannot be installed from here. Install it:\n"
            "  Debian, Ubuntu:  apt-get install openjdk-17-jre-headless\n"
            "  macOS:           brew install openjdk@17\n"
            "  Fedora:          dnf install java-21-openjdk-headless\n"
            "or set JAVA_HOME to one that is already there."
        )


def install_with_apt() -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo"] if sys.stdin.isatty() else ["sudo", "--non-interactive"]
    run([*sudo, "apt-get", "update", "--quiet"])
    for package in DEBIAN_PACKAGES:
        if subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode == 0:
            run([*sudo, "apt-get", "install", "--yes", "--no-install-recommends", package])
            return
    raise JavaError(f"apt-get knows none of {', '.join(DEBIAN_PACKAGES)}: install a Java yourself.")


def install_with_homebrew() -> None:
    run(["brew", "install", HOMEBREW_PACKAGE])
    prefix = subprocess.run(
        ["brew", "--prefix", HOMEBREW_PACKAGE], capture_output=True, text=True, check=True
    ).stdout.strip()
    # Homebrew keeps openjdk out of the PATH; macOS' own /usr/bin/java looks into this folder.
    machines = Path.home() / "Library" / "Java" / "JavaVirtualMachines"
    machines.mkdir(parents=True, exist_ok=True)
    link = machines / "openjdk-17.jdk"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(Path(prefix) / "libexec" / "openjdk.jdk")


def run(command: list[str]) -> None:
    logger.info("  %s", " ".join(command))
    result = subprocess.run(command, check=False)
    if result.returncode != 0:
        raise JavaError(f"`{' '.join(command)}` failed: install Java {OLDEST_JAVA} yourself, then run again.")
