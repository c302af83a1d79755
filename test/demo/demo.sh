#!/usr/bin/env bash
# The main job on real input: the Go standard library's source tree, about ten thousand files, copied with
# verification, then compared by the system's own diff. Usage: demo.sh BRIGADE
set -euo pipefail
brigade=$1
out=demo-out

# Debian's GOROOT/src is a symlink to where the files are.
source=$(readlink -f "$(go env GOROOT)/src")
[[ -d $source ]] || { echo "no Go source tree at $source" >&2; exit 1; }

again=
[[ -d $out/.state ]] && again=yes

mkdir -p "$out" # before the state is, which is for its owner alone
echo
echo "Copying $source to $out/src"
echo
"$brigade" import "$source" "$out/src" --id demo --state-dir "$out/.state" --yes

echo
echo "Comparing with the system's own diff"
if differences=$(diff -r "$source" "$out/src"); then
  echo "diff -r: no differences, $(find "$out/src" -type f | wc -l) files"
else
  head -20 <<<"$differences"
  echo "diff -r: DIFFERENCES FOUND"
  exit 1
fi

# The toolchain's tree may be read-only; its copy must not be.
if [[ -n $(find "$out/src" ! -type l ! -perm -u+w -print -quit) ]]; then
  echo "the copy holds read-only files, which 'rm -r' could not remove" >&2
  exit 1
fi

echo
if [[ -n $again ]]; then
  echo "This was the second run: what was there was found equal and skipped. Remove $out to start over."
else
  echo "Run 'make demo' again: it will skip everything."
fi
echo "Try next:  $brigade import $out/src 's3://BUCKET/PREFIX/?region=us-east-1'   ('$brigade import -h' has more)"
