#!/bin/sh
# Writes HAProxy's configuration from a template and the servers to keep. Reloads HAProxy after a change. On any error,
# HAProxy keeps its configuration, and the next run tries again.
# Usage: update-haproxy.sh AUTO-SCALING-GROUP TEMPLATE CONFIGURATION RELOAD-COMMAND...
# In the template, the line @SERVERS@ stands for the server lines.
set -eu
[ $# -ge 4 ] || {
  echo 'update-haproxy.sh: expected AUTO-SCALING-GROUP TEMPLATE CONFIGURATION RELOAD-COMMAND...' >&2
  exit 2
}
group=$1 template=$2 configuration=$3
shift 3
[ -f "$template" ] && [ -r "$template" ] || {
  echo "update-haproxy.sh: TEMPLATE is '$template'; expected a file that can be read" >&2
  exit 1
}

servers=$("$(dirname "$0")/servers-to-keep.sh" "$group")
grep -qxF @SERVERS@ "$template" || {
  echo "update-haproxy.sh: $template has no line @SERVERS@" >&2
  exit 1
}

# Set owner and mode before writing, because a configuration may hold secrets.
cp -p "$template" "$configuration.new"
# Sorted, because EC2 returns the instances in any order.
echo "$servers" | sort | awk '
  NR == FNR { servers = servers "    server " $1 " " $2 ":" $3 "\n"; next }
  $0 == "@SERVERS@" { printf "%s", servers; next }
  { print }' - "$template" >"$configuration.new"

# Compare with the loaded configuration too, because after a failed reload HAProxy does not run the file on disk.
if cmp -s "$configuration.new" "$configuration" && cmp -s "$configuration.new" "$configuration.loaded"; then
  rm "$configuration.new"
  exit
fi
haproxy -c -f "$configuration.new" >/dev/null
cp -p "$configuration.new" "$configuration.loading"
mv "$configuration.new" "$configuration"
"$@"
mv "$configuration.loading" "$configuration.loaded"
echo "update-haproxy.sh: $(echo "$servers" | wc -l) servers in $configuration, reloaded"
