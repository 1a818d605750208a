#!/bin/sh
# Writes HAProxy's configuration from a template and the servers to keep. Reloads HAProxy after a change. On any error,
# HAProxy keeps its configuration, and the next run tries again.
# Usage: update-haproxy.sh AUTO-SCALING-GROUP[:...] TEMPLATE CONFIGURATION RELOAD-COMMAND...
# In the template, the line @SERVERS@ stands for the server lines. CHECK_COMMAND checks the new file, which becomes its
# last argument. With STATS_SOCKET, the script compares the running servers with the written servers.
set -efu
check=${CHECK_COMMAND:-haproxy -c -f}
socket=${STATS_SOCKET:-}

complain() {
  printf 'update-haproxy.sh: %s\n' "$*" >&2
}

fail() {
  complain "$@"
  exit 1
}

refuse() {
  complain "$@"
  exit 2
}

[ $# -ge 4 ] || refuse 'expected AUTO-SCALING-GROUP[:...] TEMPLATE CONFIGURATION RELOAD-COMMAND...'
[ -z "$socket" ] || command -v socat >/dev/null || refuse "STATS_SOCKET is '$socket', but socat is not installed"
group=$1 template=$2 configuration=$3
shift 3
{ [ -f "$template" ] && [ -r "$template" ]; } || fail "TEMPLATE is '$template'; expected a file that can be read"
grep -qx '[[:blank:]]*@SERVERS@[[:blank:]]*' "$template" || fail "$template has no line @SERVERS@"
[ ! -d "$configuration" ] || fail "CONFIGURATION is '$configuration'; expected a file, not a folder"
# Replace the target of a symbolic link, not the link.
target=$(readlink -f "$configuration") || fail "CONFIGURATION is '$configuration'; expected a file in a folder"
configuration=$target

child='' new=''
finish() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || :
  [ -z "$new" ] || rm -f "$new" "$new.loading"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

# Runs a program for at most 30 s. In the background, because the shell handles a signal only after a command in the
# foreground. `timeout` hands the signal on to all processes of the program.
run() {
  timeout 30 "$@" &
  child=$!
  status=0
  wait "$child" || status=$?
  child=''
  return "$status"
}

ask_haproxy() {
  echo "$1" | timeout 3 socat -t3 - "UNIX-CONNECT:$socket" 2>&1 || :
}

# Prints the first difference between the servers that HAProxy runs and the written servers. Compares only the backends
# of @SERVERS@, and there only servers whose name is an instance id.
# $1: process id and uptime of a worker. If this worker still runs, that is a difference too.
difference() {
  [ -n "$socket" ] || return 0
  printf '%s\n' "$servers" "$(ask_haproxy 'show info; show servers state')" | awk -v old="$1" '
    # The address in short form, because HAProxy shortens IPv6 addresses.
    function server(backend, name, address, port) {
      gsub(/:0*/, ":", address)
      gsub(/::+/, "::", address)
      return backend "/" name " " tolower(address) ":" port
    }
    NR == FNR && ($1 == "backend" || $1 == "listen") { backend = $2 }
    NR == FNR && $1 == "server" { fixed[$2] }
    NR == FNR && $1 == "@SERVERS@" { ours[backend] }
    NR == FNR { next }
    $1 ~ /^i-/ { for (backend in ours) written[server(backend, $1, $2, $3)]; next }
    $1 == "Pid:" { pid = $2 }
    $1 == "Uptime_sec:" { uptime = $2 }
    $1 == "#" { for (n = 2; n <= NF; n++) column[$n] = n - 1; next }
    "srv_port" in column {
      backend = $column["be_name"]
      name = $column["srv_name"]
      if (backend in ours && name ~ /^i-[0-9a-f]+$/ && !(name in fixed))
        running[server(backend, name, $column["srv_addr"], $column["srv_port"])]
    }
    # The error of socat, if HAProxy has not answered.
    { line = $0 }
    END {
      if (!("srv_port" in column)) { print "no answer: " line; exit }
      for (entry in written) if (!(entry in running)) { print entry " is missing"; exit }
      for (entry in running) if (!(entry in written)) { print entry " still runs"; exit }
      split(old, worker, " ")
      if (pid == worker[1] && uptime >= worker[2]) print "its worker is still process " pid
    }' "$template" -
}

new=$(mktemp "$configuration.XXXXXX")
run "$(dirname "$(readlink -f "$0")")/servers-to-keep.sh" "$group" >"$new" || exit
# Sorted, because EC2 returns the instances in any order.
servers=$(sort "$new")

# Set owner and mode before writing, because a configuration may hold secrets.
cp -p "$template" "$new"
printf '%s\n' "$servers" | awk '
  NR == FNR {
    # Without brackets, an IPv6 address and a port look like a longer address.
    address = $2 ~ /:/ ? "[" $2 "]" : $2
    servers = servers "    server " $1 " " address ":" $3 "\n"
    next
  }
  $1 == "@SERVERS@" && NF == 1 { printf "%s", servers; next }
  { print }' - "$template" >"$new"

rm -f "$configuration.new"
# Compare with the loaded configuration too, because after a failed reload HAProxy does not run the file on disk.
if cmp -s "$new" "$configuration" && cmp -s "$new" "$configuration.loaded"; then
  reason=$(difference '')
  case $reason in
  '') exit ;;
  'no answer'*) fail "HAProxy cannot be compared with $configuration: $reason" ;;
  *) complain "HAProxy does not run $configuration, and is reloaded again: $reason" ;;
  esac
fi
# shellcheck disable=SC2086 # The setting holds several words.
run $check "$new" >/dev/null || {
  mv "$new" "$configuration.new"
  fail "CHECK_COMMAND '$check' ended with status $status; the refused configuration is $configuration.new"
}
worker=''
[ -z "$socket" ] || worker=$(ask_haproxy 'show info' | sed -n 's/^Pid: //p; s/^Uptime_sec: //p' | tr '\n' ' ')
cp -p "$new" "$new.loading"
mv "$new" "$configuration"
run "$@" || fail "the reload command ended with status $status; the next run repeats the reload"
# A command that reloads HAProxy also succeeds when the new worker does not start.
tries=15
while reason=$(difference "$worker") && [ -n "$reason" ]; do
  if [ "$tries" -eq 0 ]; then
    # With a wrong STATS_SOCKET, every run would reload HAProxy again.
    case $worker$reason in 'no answer'*) mv "$new.loading" "$configuration.loaded" ;; esac
    fail "HAProxy does not run $configuration after the reload: $reason"
  fi
  tries=$((tries - 1))
  run sleep 1
done
mv "$new.loading" "$configuration.loaded"
printf 'update-haproxy.sh: %s servers in %s, reloaded\n' "$(printf '%s\n' "$servers" | wc -l)" "$configuration"
