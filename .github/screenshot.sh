#!/usr/bin/env bash
# Makes .github/purchase.png from today's report; needs an installed Parley and Chromium.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
parley run purchase --out "$out/run"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 --window-size=1100,1500 \
    --screenshot="$PWD/.github/purchase.png" "file://$out/run/report.html"
