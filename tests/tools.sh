#!/bin/sh
# What the tests of pages need beyond Python: Chromium and npm. Installed where that is possible; else it is said, and those tests say NOT TESTED.
need=
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || need="$need chromium"
command -v npm >/dev/null || need="$need npm"
[ -z "$need" ] && exit 0
if [ "$(id -u)" = 0 ]; then root=; elif sudo -n true 2>/dev/null; then root=sudo; else root=none; fi
if [ "$root" != none ] && command -v apt-get >/dev/null; then
  echo "Installing for the tests of pages:$need"
  $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends $need >/dev/null && exit 0
fi
echo "NOT HERE:$need. The tests that need them say NOT TESTED; install them, and they are run."
