#!/usr/bin/env bash
# Checks what a target of the Makefile needs and says in one line what is missing.
#   setup.sh go     Go itself
#   setup.sh node   Node.js and npm, which the Azure server of the tests runs on
#   setup.sh test   a C compiler, nginx, Node.js, mail servers, Prometheus, and for root what makes networks; installed from
#                   Debian's packages with CI=true or APT=1 as root
set -euo pipefail

die() { echo "brigade: $*" >&2; exit 1; }

check_go() {
  command -v go >/dev/null || die "Go is not installed: get 1.21 or newer from https://go.dev/dl (newer toolchains are fetched by themselves)"
  # Not "go env", which older releases refuse inside a module that asks for a newer Go.
  local version major minor
  version=$(GOTOOLCHAIN=local go version | awk '{print $3}')
  [[ $version =~ ^go([0-9]+)\.([0-9]+) ]] || return 0 # a development build
  major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
  if ((major == 1 && minor < 21)); then
    die "$version is too old: get 1.21 or newer from https://go.dev/dl (newer toolchains are fetched by themselves)"
  fi
}

may_install() { [[ ${CI:-} == true || ${APT:-} == 1 ]] && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

check_compiler() {
  local cc
  cc=$(go env CC)
  command -v "${cc%% *}" >/dev/null && return 0
  may_install || die "no C compiler, which the race detector needs: install one (Debian: apt-get install gcc libc6-dev), or run as root with APT=1"
  echo "installing gcc"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
}

check_nginx() {
  command -v "${BRIGADE_NGINX:-nginx}" >/dev/null || [[ -x /usr/sbin/nginx ]] && return 0
  may_install || die "no nginx, which tests of lists of URLs read from: install it (Debian: apt-get install nginx-light), or run as root with APT=1"
  echo "installing nginx"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
}

check_node() {
  command -v node >/dev/null && command -v npm >/dev/null && return 0
  may_install || die "no node or npm, which the Azure server of the tests runs on: install them (Debian: apt-get install nodejs npm), or run as root with APT=1"
  echo "installing nodejs and npm"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
}

# Networks of namespaces are made by root only; tests of them skip for others.
check_network() {
  [[ $(uname -s) == Linux && $(id -u) == 0 ]] || return 0
  command -v ip >/dev/null && command -v tc >/dev/null && command -v nft >/dev/null && return 0
  may_install || die "ip, tc or nft is missing, which tests of networks need: install them (Debian: apt-get install iproute2 nftables), or run with APT=1"
  echo "installing iproute2 and nftables"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 nftables >/dev/null
}

# Prometheus and Alertmanager read what nodes measure; promtool comes with the former. Debian would run both as services, which
# nobody asked for.
check_monitors() {
  command -v prometheus >/dev/null && command -v promtool >/dev/null && command -v prometheus-alertmanager >/dev/null && return 0
  may_install || die "prometheus or prometheus-alertmanager is missing, which tests of metrics need: install them (Debian: apt-get install prometheus prometheus-alertmanager), or run as root with APT=1"
  echo "installing prometheus and prometheus-alertmanager"
  apt-get update -qq >/dev/null
  local policy=/usr/sbin/policy-rc.d failed=0
  if [[ -e $policy ]]; then
    policy=
  else
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager >/dev/null || failed=1
  [[ -z $policy ]] || rm -f "$policy"
  ((failed == 0)) || die "prometheus and prometheus-alertmanager cannot be installed"
  if [[ -d /run/systemd/system ]]; then # nor at the next boot
    systemctl disable --now --quiet prometheus prometheus-alertmanager || true
  fi
}

# What is shipped for systemd and man is read by both, and examples of the API use jq; these tests skip where something is
# missing, but not in CI.
check_readers() {
  [[ $(uname -s) == Linux && ${CI:-} == true ]] || return 0
  local packages=()
  command -v systemd-analyze >/dev/null && command -v systemd-sysusers >/dev/null || packages+=(systemd)
  command -v groff >/dev/null || command -v mandoc >/dev/null || packages+=(mandoc)
  command -v curl >/dev/null || packages+=(curl)
  command -v jq >/dev/null || packages+=(jq)
  ((${#packages[@]})) || return 0
  may_install || die "missing: ${packages[*]}, which tests of deploy/, of the manual pages and of the API need"
  echo "installing ${packages[*]}"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# Mail is sent to two real servers in tests. The package of one of them starts it for the whole machine: that is stopped again.
check_mail() {
  local packages=()
  /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || python3 -c 'import aiosmtpd' 2>/dev/null || packages+=(python3-aiosmtpd)
  if [[ $(uname -s) == Linux && $(id -u) == 0 ]]; then
    command -v exim4 >/dev/null || [[ -x /usr/sbin/exim4 ]] || packages+=(exim4-daemon-light)
  fi
  ((${#packages[@]})) || return 0
  may_install || die "missing: ${packages[*]}, which tests of mail need: install them (Debian: apt-get install ${packages[*]}), or run as root with APT=1"
  echo "installing ${packages[*]}"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  if [[ ${packages[*]} == *exim4* && -x /etc/init.d/exim4 ]]; then
    /etc/init.d/exim4 stop >/dev/null 2>&1 || true # it may not have been started
    update-rc.d exim4 disable >/dev/null
  fi
}

case ${1:-} in
  go) check_go ;;
  node) check_node ;;
  test)
    echo "make test needs: Go 1.21 or newer, a C compiler (race detector), versitygw and fake-gcs-server (servers of S3 and Cloud Storage, built here from their pinned versions), nginx, Node.js and npm (for Azurite, a server of Azure), python3 with aiosmtpd, prometheus and prometheus-alertmanager; as root also iproute2, nftables and exim4"
    check_go
    check_compiler
    check_nginx
    check_node
    check_network
    check_monitors
    check_readers
    check_mail
    ;;
  *) die "usage: setup.sh go|node|test" ;;
esac
