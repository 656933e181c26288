# What ./run and ./test stand on: packages, a Rust toolchain, a target folder. Sourced, from the checkout.

packages_wanted="postgresql libpq-dev build-essential pkg-config curl"
# Beside these, what only the tests run.
packages_of_tests="python3-venv nodejs npm chromium chromium-driver fontconfig fonts-noto-cjk"
cluster_conf=/etc/postgresql-common/createcluster.conf

say() { printf '%s\n' "$*" >&2; }

# Wrong surroundings are wrong use: exit code 2.
give_up() {
    say "$@"
    exit 2
}

# A PostgreSQL server of version 15 or later, wherever its package puts it.
have_server() {
    for folder in "$(pg_config --bindir 2>/dev/null)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && [ -x "$folder/postgres" ] || continue
        major=$("$folder/postgres" --version 2>/dev/null | sed -n 's/[^0-9]*\([0-9]*\).*/\1/p')
        [ "${major:-0}" -ge 15 ] && return 0
    done
    return 1
}

have_libpq() {
    [ -e "$(pg_config --includedir 2>/dev/null)/libpq-fe.h" ]
}

have() { command -v "$1" >/dev/null 2>&1; }

# The tests verify statements with libraries for Python and JavaScript; the long ones fuzz the API with Python, too.
have_python() {
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# A font that draws Chinese: the pages are tested in both languages.
have_chinese() {
    have fc-list && [ -n "$(fc-list :lang=zh-cn family 2>/dev/null)" ]
}

missing_packages() {
    have_server || printf 'postgresql '
    have_libpq || printf 'libpq-dev '
    have cc || printf 'build-essential '
    have pkg-config || printf 'pkg-config '
    have curl || printf 'curl '
    [ -n "${tests_too:-}" ] || return 0
    have_python || printf 'python3-venv '
    have node || printf 'nodejs '
    have npm || printf 'npm '
    have chromium || printf 'chromium '
    have chromedriver || printf 'chromium-driver '
    have_chinese || printf 'fontconfig fonts-noto-cjk '
}

# Debian's package would start a cluster of its own, so it is told not to before it is installed.
install_as_root='set -e
    export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    conf=$1; shift
    if ! grep -qs "^create_main_cluster" "$conf"; then
        mkdir -p "$(dirname "$conf")"
        echo "create_main_cluster = false" >>"$conf"
    fi
    apt-get update -q
    apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"'

need_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    have apt-get || give_up "missing here, and there is no apt-get to install it: $missing"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        say "these packages are missing: $missing"
        say "run this as root, then start again:"
        give_up "mkdir -p ${cluster_conf%/*} && echo 'create_main_cluster = false' >> $cluster_conf &&" \
            "apt-get update && apt-get install -y --no-install-recommends $packages_wanted${tests_too:+ $packages_of_tests}"
    fi
    say "installing: $missing"
    # shellcheck disable=SC2086 # one word a package
    $as_root sh -c "$install_as_root" sh "$cluster_conf" $missing >&2 || give_up "apt-get failed"
    missing=$(missing_packages)
    [ -z "$missing" ] || give_up "still missing after apt-get: $missing"
}

# A cargo that answers, on PATH or where toolchains are usually put. An account without a home of its own gets a
# package cache inside target/.
need_cargo() {
    [ -n "${HOME:-}" ] && [ -w "$HOME" ] || HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
    export HOME
    if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "$HOME/.rustup" ] && [ -d /usr/local/rustup ]; then
        export RUSTUP_HOME=/usr/local/rustup
    fi
    cache=${CARGO_HOME:-$HOME/.cargo}
    if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
        export CARGO_HOME="$PWD/target/cargo"
        mkdir -p "$CARGO_HOME"
    fi
    for folder in "" "$cache/bin" "$HOME/.cargo/bin" /usr/local/cargo/bin; do
        [ -z "$folder" ] || [ -x "$folder/cargo" ] || continue
        found=${folder:+$folder:}$PATH
        if PATH=$found cargo --version >/dev/null 2>&1; then
            export PATH="$found"
            return 0
        fi
    done
    give_up "no working cargo: not on PATH, in \$CARGO_HOME/bin, $HOME/.cargo/bin or /usr/local/cargo/bin." \
        "Install Rust from https://rustup.rs, or let this account use the one that is installed."
}

# Everything that is built goes to target/, whatever the environment says.
need_target() {
    export CARGO_TARGET_DIR="$PWD/target"
    if ! mkdir -p target .hanse 2>/dev/null || [ ! -w target ] || [ ! -w .hanse ]; then
        give_up "$PWD cannot be written to by $(id -un 2>/dev/null || id -u): use a clone of your own."
    fi
    owner=$(stat -c %u target/release/hanse 2>/dev/null || id -u)
    if [ "$(id -u)" != 0 ] && [ "$owner" != "$(id -u)" ]; then
        give_up "target/ was built by another user: remove it, or use a clone of your own."
    fi
}

prepare() {
    need_target
    need_packages
    need_cargo
}
