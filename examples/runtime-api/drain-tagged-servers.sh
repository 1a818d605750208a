#!/bin/sh
# Sets the servers of HAProxy whose instances carry the removal tag to "drain", over the stats socket. Sets those that it
# drained back to "ready" when their instances run without the tag again.
# Usage: drain-tagged-servers.sh AUTO-SCALING-GROUP SOCKET...
# The name of a server is the id of its instance. TAG_KEY and TAG_VALUE are those of the function; INTERVAL is in
# seconds; region and credentials are the AWS CLI's own. STATE_DIRECTORY keeps the record of what it drained.
set -u
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
interval=${INTERVAL:-2}
state=${STATE_DIRECTORY:-/var/lib/drain-tagged-servers}

complain() {
  echo "drain-tagged-servers.sh: $*" >&2
}

# systemd does not start it again after this status.
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
{ [ -d "$state" ] && [ -w "$state" ]; } || refuse "STATE_DIRECTORY is '$state'; expected a folder that it may write to"
group=$1
shift

# One line an instance: id, state, "tagged" or "untagged".
ask_ec2() {
  # A call that hangs must not use up the heartbeat timeout.
  aws ec2 describe-instances --output text --page-size 1000 --cli-connect-timeout 5 --cli-read-timeout 10 \
    --filters "Name=tag:aws:autoscaling:groupName,Values=\"$group\"" --query "Reservations[].Instances[].[
      InstanceId, State.Name, Tags[?Key=='$key' && Value=='$value'] && 'tagged' || 'untagged']"
}

# Leaves the answer to a command in $answer. HAProxy ends it with an empty line: without one, it is only a part.
ask_haproxy() {
  answer="
$(echo "$2" | socat -t5 - "UNIX-CONNECT:$1" && echo end)"
  case $answer in
  *'

end') answer=${answer%??end} answer=${answer#?} ;;
  *) false ;;
  esac
}

# Reads what EC2, the record and HAProxy say. Prints what has to change: "drain", "ready" or "forget", and the server.
compare() {
  awk '
    NF == 0 { next }
    $1 == "#" { section = $2; next }
    section == "instances" { tagged[$1] = $3 == "tagged"; serves[$1] = $2 == "running" && $3 == "untagged" }
    section == "recorded" { ours[$1] }
    section == "be_id" {
      server = $2 "/" $4
      seen[server]
      # srv_admin_state is a mask: 1 is forced maintenance, 8 is forced drain.
      maintained = $7 % 2
      drained = int($7 / 8) % 2
      if (tagged[$4]) {
        if (!drained && !maintained) print "drain", server
      } else if (server in ours) {
        # An instance that does not run, or that EC2 has forgotten, is not fit to serve.
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

# Brings the servers of one HAProxy into line with EC2, from the state that they are in now: a reload or a restart
# may have undone what was set before.
align() {
  ask_haproxy "$socket" 'show servers state' || {
    complain "$socket: no answer; its servers stay as they are"
    return
  }
  # Version 1 of the answer is the one whose columns are known.
  case $answer in
  '1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state '*) ;;
  *)
    complain "$socket: 'show servers state' gives something unknown; its servers stay as they are: $answer"
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
    # Recorded before it is done: a drain that nobody knows of would never be undone.
    drain) remember "$server" && set_state "$server" drain ;;
    ready) set_state "$server" ready && forget "$server" ;;
    forget) forget "$server" ;;
    esac
  done
}

while :; do
  if ! instances=$(ask_ec2); then
    complain 'EC2 gave no whole answer; nothing is changed'
  else
    case $instances in
    *'	running	untagged'*)
      for socket; do align; done
      ;;
    # Rather a mistake in the name of the group or in the tag than a group that nobody needs.
    *) complain "no instance of $group would be left to serve; nothing is changed" ;;
    esac
  fi
  sleep "$interval" || exit
done
