#!/usr/bin/env bash
# Make .venv with everything pinned, and install the system libraries that Qt needs where apt-get is at hand.
# Quick when nothing has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.installed
key=$(cat pyproject.toml constraints.txt napari.yaml hatch_build.py | sha256sum)
packages=(xvfb xauth libegl1 libgl1 libglx-mesa0 libgl1-mesa-dri libopengl0 libxkbcommon-x11-0 libdbus-1-3 libfontconfig1
  libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
  libxcb-shape0 libxcb-xinerama0 libxcb-xkb1)

find_python() {
  for name in python3.13 python3.12 python3.11 python3; do
    if command -v "$name" >/dev/null &&
      "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  echo "error: expected Python 3.11 or newer with venv, found none." >&2
  echo "hint: install it, for example with: sudo apt-get install python3 python3-venv" >&2
  exit 1
}

install_system_libraries() {
  command -v dpkg-query >/dev/null || return 0
  local missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" && continue
    dpkg-query -W -f='${Status}' "${package}t64" 2>/dev/null | grep -q "install ok installed" && continue
    missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "error: these system libraries are missing: ${missing[*]}" >&2
      echo "hint: run: sudo apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo -n)
  fi
  echo "Installing system libraries: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Verifies the DICOM objects that the tests write; without it those checks are skipped.
install_dicom_verifier() {
  command -v dciodvfy >/dev/null && return 0
  command -v apt-get >/dev/null || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || return 0
    as_root=(sudo -n)
  fi
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends dicom3tools >/dev/null ||
    echo "note: dicom3tools could not be installed; DICOM objects are tested without it."
}

install_system_libraries
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then
  exit 0
fi
install_dicom_verifier
python=$(find_python)
if ! .venv/bin/python -c '' 2>/dev/null; then
  "$python" -m venv .venv
fi
echo "Installing napari-tmca and what it needs into .venv (a few minutes the first time)"
# torch first and pinned: on Linux an unpinned torch may come with gigabytes of CUDA libraries.
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' constraints.txt)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[all,test,dev]" -c constraints.txt
echo "$key" >"$stamp"
