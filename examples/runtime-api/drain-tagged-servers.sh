#!/bin/sh
# Sets HAProxy's servers to "drain" over the stats socket when their instances carry the removal tag. Sets the drained
# servers back to "ready" when their instances run without the tag.
# Usage: drain-tagged-servers.sh AUTO-SCALING-GROUP SOCKET...
# The name of a server must be the id of its instance. TAG_KEY and TAG_VALUE must be those of the function. INTERVAL is
# in seconds. STATE_DIRECTORY keeps the record of drained servers. The AWS CLI finds region and credentials.
set -u
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
interval=${INTERVAL:-2}
state=${STATE_DIRECTORY:-/var/lib/drain-tagged-servers}

complain() {
  echo "drain-tagged-servers.sh: $*" >&2
}

# systemd does not restart the script after this exit status.
refuse() {
  complain "$@"
  exit 2
}

[ $# -ge 2 ] || refuse 'expected AUTO-SCALING-GROUP SOCKET...'
case $interval in
*[!0-9.]* | *.*.*) refuse "INTERVAL is '$interval'; expected seconds" ;;
*[1-9]*) ;;
*) refuse "INTERVAL is '$interval'; expected seconds, more than 0" ;;
esac
for program in aws socat; do
  command -v "$program" >/dev/null || refuse "$program is not installed"
done
{ [ -d "$state" ] && [ -w "$state" ]; } || refuse "STATE_DIRECTORY is '$state'; expected a folder that can be written to"
group=$1
shift

# Prints one line for each instance: id, state, "tagged" or "untagged".
ask_ec2() {
  # A hanging call must not use up the heartbeat timeout.
  aws ec2 describe-instances --output text --page-size 1000 --cli-connect-timeout 5 --cli-read-timeout 10 \
    --filters "Name=tag:aws:autoscaling:groupName,Values=\"$group\"" --query "Reservations[].Instances[].[
      InstanceId, State.Name, Tags[?Key=='$key' && Value=='$value'] && 'tagged' || 'untagged']"
}

# Puts HAProxy's answer to a command into $answer. A complete answer ends with an empty line.
ask_haproxy() {
  answer="
$(echo "$2" | socat -t5 - "UNIX-CONNECT:$1" && echo end)"
  case $answer in
  *'

end') answer=${answer%??end} answer=${answer#?} ;;
  *) false ;;
  esac
}

# Reads the lists of EC2, the record and HAProxy. Prints each change: "drain", "ready" or "forget", and the server.
compare() {
  awk '
    NF == 0 { next }
    $1 == "#" { section = $2; next }
    section == "instances" { tagged[$1] = $3 == "tagged"; serves[$1] = $2 == "running" && $3 == "untagged" }
    section == "recorded" { ours[$1] }
    section == "be_id" {
      server = $2 "/" $4
      seen[server]
      # srv_admin_state is a bit mask: 1 is forced maintenance, 8 is forced drain.
      maintained = $7 % 2
      drained = int($7 / 8) % 2
      if (tagged[$4]) {
        if (!drained && !maintained) print "drain", server
      } else if (server in ours) {
        # A server stays drained if its instance does not run, or if EC2 has forgotten the instance.
        if (!drained) print "forget", server
        else if (serves[$4]) print "ready", server
      }
    }
    END { for (server in ours) if (!(server in seen)) print "forget", server }'
}

remember() {
  grep -qxF -e "$1" "$record" || echo "$1" >>"$record"
}

forget() {
  grep -vxF -e "$1" "$record" >"$record.new"
  # 1: no line is left.
  [ $? -le 1 ] && mv "$record.new" "$record"
}

set_state() {
  if ask_haproxy "$socket" "set server $1 state $2" && [ -z "$answer" ]; then
    echo "$socket: $1 is set to $2"
  else
    complain "$socket: $1 could not be set to $2: ${answer:-no answer}"
    false
  fi
}

# Changes the servers of one HAProxy to match EC2. Reads their current state each time, because a reload or a restart
# may have undone earlier changes.
align() {
  ask_haproxy "$socket" 'show servers state' || {
    complain "$socket: no answer; its servers stay as they are"
    return
  }
  # The columns are known only for version 1 of the answer.
  case $answer in
  '1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state '*) ;;
  *)
    complain "$socket: the answer to 'show servers state' is unknown; its servers stay as they are: $answer"
    return
    ;;
  esac
  record=$state/$(echo "$group$socket" | tr / _)
  [ -e "$record" ] || : >"$record"
  {
    printf '# instances\n%s\n# recorded\n' "$instances"
    cat "$record" && echo "${answer#1?}"
  } | compare | while read -r change server; do
    case $change in
    # Record the server before draining it, because the script never undoes a drain without a record.
    drain) remember "$server" && set_state "$server" drain ;;
    ready) set_state "$server" ready && forget "$server" ;;
    forget) forget "$server" ;;
    esac
  done
}

while :; do
  if ! instances=$(ask_ec2); then
    complain 'EC2 did not answer completely; nothing is changed'
  else
    case $instances in
    *'	running	untagged'*)
      for socket; do align; done
      ;;
    # More likely a wrong group name or a wrong tag than a group that nobody needs.
    *) complain "no instance of $group would be left to serve; nothing is changed" ;;
    esac
  fi
  sleep "$interval" || exit
done
