#!/usr/bin/env bash
# Every check and every test of this repository, from a clean clone. A missing tool is installed or fails; nothing is
# skipped.
set -euo pipefail
cd "$(dirname "$0")"

began=$SECONDS
summary=()

# step NAME COMMAND…: says what runs, runs it, says how long it took.
step() {
  local name=$1 from=$SECONDS
  shift
  printf '\n=== %s\n+ %s\n' "$name" "$*"
  "$@"
  summary+=("$(printf '%5d s  %s' $((SECONDS - from)) "$name")")
}

# in_folder FOLDER COMMAND…: runs it there.
in_folder() {
  local folder=$1
  shift
  (cd "$folder" && "$@")
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian packages by what they bring: only the missing ones are installed. Redis and the proxies are started by the tests
# themselves: a service that their packages may have begun is not needed.
system_tools() {
  local missing=() pair
  for pair in gcc:gcc pkg-config:pkg-config curl:curl git:git openssl:openssl node:nodejs npm:npm python3:python3 chromium:chromium redis-server:redis-server nginx:nginx caddy:caddy mvn:maven javac:default-jdk-headless; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  python3 -c 'import ensurepip, venv, sqlite3' 2>/dev/null || missing+=(python3-venv)
  # The Rust client of another maker is built with the system's TLS.
  pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
  if [ "${#missing[@]}" -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  local tool
  for tool in cargo node npm python3 curl nginx caddy mvn javac; do
    command -v "$tool" >/dev/null || { echo "missing: $tool" >&2; return 1; }
  done
  cargo --version && node --version && python3 --version && "${CHROMIUM:-/usr/bin/chromium}" --version
}

# One environment for all the Python tests, made anew when what they need changes.
python_environment() {
  local wanted
  wanted=$(cat tests/*/python/requirements.txt | sha256sum)
  if [ "$(cat .venv/wanted 2>/dev/null)" != "$wanted" ]; then
    rm -rf .venv
    python3 -m venv .venv
    local file
    for file in tests/*/python/requirements.txt; do .venv/bin/pip install --quiet -r "$file"; done
    echo "$wanted" >.venv/wanted
  fi
  .venv/bin/pip check
}

export TIDINGS_BIN="$PWD/target/debug/tidings"
export TIDINGS_ECHO_BIN="$PWD/target/debug/examples/echo"
export PYTHONDONTWRITEBYTECODE=1
# Debian keeps nginx where only root looks.
export PATH="$PATH:/usr/sbin"
export CHROMIUM="${CHROMIUM:-/usr/bin/chromium}"

step "tools of the system" system_tools
step "official clients (node)" in_folder tests/e2e npm ci --no-audit --no-fund --loglevel=error
step "official clients of the protocol tests (node)" in_folder tests/clients npm ci --no-audit --no-fund --loglevel=error
step "official clients (python)" python_environment

step "official client (java)" in_folder tests/clients/java mvn --batch-mode --quiet package

step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets -- -D warnings
step "unit and integration tests" cargo test --workspace
step "the server" cargo build -p tidings
step "the example of the protocol crate" cargo build -p tidings-socketio --example echo

step "client of another maker (rust)" in_folder tests/clients/rust cargo build --locked

step "protocol, official node clients" in_folder tests/clients node --test --test-reporter=spec
step "protocol, official python client" in_folder tests/clients/python ../../../.venv/bin/python -m unittest -v
step "end to end, node and browser" in_folder tests/e2e npm test --silent
step "end to end, python" in_folder tests/e2e/python ../../../.venv/bin/python -m unittest -v

printf '\n=== all passed in %d s\n' $((SECONDS - began))
printf '%s\n' "${summary[@]}"
