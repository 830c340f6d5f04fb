#!/bin/sh
# Prints a Python 3.11 or 3.12 that can make virtual environments.
# PYTHON=/path/to/python3.12 make setup    takes that one instead of searching.
usable='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

# The one that .venv was made with goes first: another series would mean another installation.
made_with=$(sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null)

for python in ${PYTHON:-$made_with python3.11 python3.12 python3 /usr/bin/python3.11 /usr/bin/python3.12}; do
    if "$python" -c "$usable" 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done

{
    echo "Nightshelf needs Python 3.11 or 3.12 with venv; looked for ${PYTHON:-python3.11, python3.12, python3}."
    echo "Debian, Ubuntu:  apt-get install python3.11-venv  (or python3.12-venv; python3-venv for the default)"
    echo "macOS:           brew install python@3.12"
    echo "Elsewhere:       PYTHON=/path/to/python3.12 make setup"
} >&2
exit 1
