#!/bin/sh
# Fuzzes the API of a demo of its own: schemathesis over the contract, then by hand, then the audit. ./run.sh [--only schema|hand]
# [--examples N]. HANSE_BINARY names a binary that is already built. Leaves nothing but its virtual environment in .hanse/fuzz.
set -eu
cd -- "$(dirname -- "$(readlink -f -- "$0")")/../.."

give_up() {
    printf '%s\n' "$*" >&2
    exit 2
}

here=.hanse/fuzz
wanted=tests/fuzz/requirements.txt
mkdir -p "$here"

# A Python of its own, made anew when what it stands on has changed.
if ! cmp -s "$wanted" "$here/venv/requirements.txt"; then
    for python in python3 python3.13 python3.12 python3.11 python3.10; do
        "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && break
        python=
    done
    [ -n "${python:-}" ] || give_up "Python 3.10 or later with venv is missing: apt-get install python3-venv"
    rm -rf "$here/venv"
    "$python" -m venv "$here/venv"
    "$here/venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$here/venv/requirements.txt"
fi

if [ -z "${HANSE_BINARY:-}" ]; then
    cargo build --quiet --locked
    HANSE_BINARY="${CARGO_TARGET_DIR:-target}/debug/hanse"
fi
export PYTHONDONTWRITEBYTECODE=1
exec "$here/venv/bin/python" tests/fuzz/run.py "$HANSE_BINARY" "$here/run" "$@"
