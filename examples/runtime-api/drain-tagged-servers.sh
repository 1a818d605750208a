#!/bin/sh
# Sets HAProxy's servers to "drain" over the stats socket when their instances carry the removal tag. Sets the drained
# servers back to "ready" when their instances run without the tag.
# Usage: drain-tagged-servers.sh GROUP[:GROUP...] SOCKET...
# README.md beside this file explains the arguments and settings. The AWS CLI finds region and credentials.
set -u
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
interval=${INTERVAL:-2}
state=${STATE_DIRECTORY:-/var/lib/drain-tagged-servers}
hook=${COMPLETE_HOOK:-}
tab='	'
newline='
'

complain() {
  printf 'drain-tagged-servers.sh: %s\n' "$*" >&2
}

# systemd does not restart the script after this exit status.
refuse() {
  complain "$@"
  exit 2
}

# --- Arguments and settings ---

check_text() {
  case $2 in
  *[\'\"[:cntrl:]]* | *\\) refuse "$1 is '$2'; expected no quotation mark, no control character, no backslash at the end" ;;
  esac
}

check_socket() {
  case $1 in
  */*) return ;;
  ipv4@*.*:* | ipv6@\[*:*\]:*) case ${1##*:} in '' | *[!0-9]*) ;; *) return ;; esac ;;
  esac
  refuse "SOCKET is '$1'; expected a path with a slash, ipv4@ADDRESS:PORT or ipv6@[ADDRESS]:PORT"
}

# A user who can write to the record decides which servers the script sets to "ready".
check_owner() {
  # shellcheck disable=SC2012 # No other standard program prints the mode and the owner.
  case $(ls -ldn "$2" | cut -c 1-10) in
  l*) refuse "$1 is '$2'; expected no symbolic link" ;;
  ?????w* | ????????w*) refuse "$1 is '$2'; expected that nobody else may write to it" ;;
  esac
  # shellcheck disable=SC2012
  [ "$(ls -ldn "$2" | awk '{ print $3 }')" = "$(id -u)" ] || refuse "$1 is '$2'; expected that this user owns it"
}

# The file with the servers of a socket that the script has drained. Groups and paths can be longer than a file name.
record_of() {
  printf '%s/%s' "$state" "$(printf '%s\n%s' "$groups" "$1" | cksum | tr ' ' -)"
}

[ $# -ge 2 ] || refuse 'expected GROUP[:GROUP...] SOCKET...'
groups=$1
shift
case :$groups: in
*::* | *[[:cntrl:]]*) refuse "GROUP is '$groups'; expected names of Auto Scaling groups, separated by colons" ;;
esac
case $interval in
*[!0-9.]* | *.*.*) refuse "INTERVAL is '$interval'; expected seconds" ;;
*[1-9]*) ;;
*) refuse "INTERVAL is '$interval'; expected seconds, more than 0" ;;
esac
check_text TAG_KEY "$key"
check_text TAG_VALUE "$value"
case $hook in
*[!A-Za-z0-9_/-]*) refuse "COMPLETE_HOOK is '$hook'; expected the name of a lifecycle hook" ;;
esac
for socket; do check_socket "$socket"; done
for program in aws socat timeout; do
  command -v "$program" >/dev/null || refuse "$program is not installed"
done
if [ -d "$state" ]; then
  # The slash, because systemd may make the folder a link to a private folder.
  check_owner STATE_DIRECTORY "$state/"
  for socket; do
    record=$(record_of "$socket")
    if [ -e "$record" ] || [ -L "$record" ]; then check_owner 'a record' "$record"; fi
  done
fi
umask 077

# GNU's timeout makes a process group of its own without this option. BusyBox's timeout does not, and lacks the option.
if timeout --foreground 1 true 2>/dev/null; then
  limit() { timeout --foreground "$@"; }
else
  limit() { timeout "$@"; }
fi

# --- EC2 ---

# In a filter, EC2 takes * and ? for wildcards and \ for an escape. The filter is JSON, where \ and " are escaped again.
group_filter() {
  names=$(printf '%s' "$groups" | sed 's/[*?\\]/\\&/g; s/[\\"]/\\&/g; s/:/","/g')
  printf '[{"Name":"tag:aws:autoscaling:groupName","Values":["%s"]}]' "$names"
}

# Prints one line for each instance: id, state, "tagged" or "untagged", IPv4 address or "None", IPv6 address or "None".
ask_ec2() {
  # A hanging call must not use up the heartbeat timeout.
  limit 20 aws ec2 describe-instances --output text --page-size 1000 --cli-connect-timeout 5 --cli-read-timeout 10 \
    --filters "$(group_filter)" --query "Reservations[].Instances[].[InstanceId, State.Name,
      Tags[?Key=='$key' && Value=='$value'] && 'tagged' || 'untagged', PrivateIpAddress,
      Ipv6Address || (NetworkInterfaces[].Ipv6Addresses[].Ipv6Address | [0])]"
}

# --- Reports ---

# The functions below run in the background, once for each socket. Their standard output is a report to the main loop:
# "answered": this HAProxy has answered each question, or is not needed
# "has ID": this HAProxy has a server for this tagged instance
# "idle ID": a server that this script drained has neither a session nor a queued request
# "busy ID": any other server of this tagged instance
# "completed ID": Auto Scaling's wait has ended
# "said TEXT": a complaint
# Each line has to be a write of its own, because blocks of several HAProxies would mix in the pipe. Lines for the user go
# to file descriptor 3.
exec 3>&1

# Prints a complaint, unless the look before has printed the same one.
complain_once() {
  text=$(printf '%s' "$*" | tr -s '\n' ' ' | cut -c 1-1000)
  case $newline$said$newline in
  *"$newline$text$newline"*) ;;
  *) complain "$text" ;;
  esac
  printf 'said %s\n' "$text"
}

# --- HAProxy ---

# Puts HAProxy's answer to a command into $answer. A complete answer ends with an empty line.
ask_haproxy() {
  case $socket in
  ipv4@*) address=TCP4:${socket#ipv4@} ;;
  ipv6@*) address=TCP6:${socket#ipv6@} ;;
  *) address=UNIX-CONNECT:$socket ;;
  esac
  # Without -t, socat waits only half a second. Without a limit, socat waits forever for a full queue of connections.
  answer="
$(echo "$1" | limit 3 socat -t3 - "$address" && echo end)"
  case $answer in
  *'

end') answer=${answer%??end} answer=${answer#?} ;;
  *)
    answer='no answer'
    false
    ;;
  esac
}

# Reads EC2's list of the look before, EC2's list, the record and HAProxy's servers. Prints what to do.
compare() {
  awk '
    # An address of two instances is used only if both need the same change and at most one of them runs.
    function note_address(address, id) {
      if (!(address in holder)) holder[address] = id
      else if (wish[holder[address]] != wish[id] || (runs[id] && runs[holder[address]])) shared[address]
      else if (runs[id]) holder[address] = id
    }
    function instance_of(name, address) {
      if (name in wish) return name
      if (address in shared || !(address in holder)) return ""
      # The server of an instance in a group that is not served here. Behind a proxy, several instances have one address.
      if (name ~ /^i-[0-9a-f]+$/ && holder[address] in named) return ""
      return holder[address]
    }
    function has_bit(mask, bit) { return int(mask / bit) % 2 }

    NF == 0 { next }
    $1 == "#" { section = $2; next }
    section == "before" { served[$1] = $2 == "running" && $3 == "untagged" }
    section == "instances" {
      runs[$1] = $2 == "running"
      wish[$1] = $3 == "tagged" ? "drain" : runs[$1] ? "serve" : "nothing"
      note_address($4, $1)
      note_address($5, $1)
    }
    section == "recorded" { ours[$1] }
    section == "be_id" {
      server[++count] = $2 "/" $4
      seen[$2 "/" $4]
      backend[count] = $2
      named[$4]
      server_address[count] = $5
      target[count] = $5 " " $19
      # srv_admin_state is a bit mask. Maintenance: 1 forced, 2 by a tracked server, 32 by DNS. Drain: 8 forced, 16 by a
      # tracked server.
      maintained[count] = has_bit($7, 1)
      drained[count] = has_bit($7, 8)
      out = maintained[count] || drained[count] || has_bit($7, 2) || has_bit($7, 16) || has_bit($7, 32)
      # srv_op_state 1: HAProxy raises the weight slowly. 2: the server is up, or has no health check.
      usable[count] = !out && ($6 == 1 || $6 == 2) && $8 > 0
      usable_in[$2] += usable[count]
      # srv_check_state 4: a health check runs. A server without a port cannot be connected to here.
      needs_probe[count] = !has_bit($14, 4) && $19 > 0
    }
    END {
      for (n = 1; n <= count; n++) {
        name = server[n]
        id = instance_of(substr(name, length(backend[n]) + 2), server_address[n])
        if (wish[id] == "drain") {
          print "has", id
          if (drained[n] && !maintained[n] && runs[id] && name in ours) {
            print "drained", name, id
            continue
          }
          print "busy", id
          if (drained[n] || maintained[n]) continue
          if (usable_in[backend[n]] - usable[n] < 1) {
            print "keep", name
            continue
          }
          usable_in[backend[n]] -= usable[n]
          print "drain", name
        } else if (name in ours) {
          # A server stays drained if its instance does not run, or if EC2 has forgotten the instance. One answer
          # without the tag is not enough, because EC2 may answer with older tags.
          if (!drained[n]) print "forget", name
          else if (wish[id] == "serve" && served[id]) print needs_probe[n] ? "probe" : "ready", name, target[n]
        }
      }
      for (name in ours) if (!(name in seen)) print "forget", name
    }'
}

complain_about_record() {
  # Once in a look, not for each server.
  [ -z "$bad_record" ] || return 0
  bad_record=yes
  complain_once "$record cannot be written; a server that is drained now stays drained until somebody sets it to ready"
}

remember() {
  { grep -qxF -e "$1" "$record" || echo "$1" >>"$record"; } 2>/dev/null || complain_about_record
}

forget() {
  {
    grep -vxF -e "$1" "$record" >"$record.new"
    # 1: no line is left.
    [ $? -le 1 ] && mv "$record.new" "$record"
  } 2>/dev/null || complain_about_record
}

set_state() {
  if ask_haproxy "set server $1 state $2" && [ -z "$answer" ]; then
    echo "$socket: $1 is set to $2" >&3
  else
    complain_once "$socket: $1 could not be set to $2: $answer"
    false
  fi
}

# Prints the servers that take a connection, of those that HAProxy does not check itself.
accepting_servers() {
  printf '%s\n' "$changes" | {
    while read -r change server address port; do
      [ "$change" = probe ] || continue
      case $address in *:*) address=[$address] ;; esac
      limit 2 socat -u /dev/null "TCP:$address:$port" 2>/dev/null && echo "$server" &
    done
    wait
  }
}

change_servers() {
  accepting=$(accepting_servers)
  stop_at=$(($(date +%s) + 10))
  printf '%s\n' "$changes" | while read -r change server target; do
    case $change in
    drain)
      # Record the server before draining it, because the script never undoes a drain without a record.
      remember "$server"
      set_state "$server" drain
      ;;
    keep) complain_once "$socket: $server is not drained, because ${server%/*} has no other server that is up" ;;
    probe)
      case $newline$accepting$newline in
      *"$newline$server$newline"*) set_state "$server" ready && forget "$server" ;;
      *) complain_once "$socket: $server stays drained, because it takes no connection at $target" ;;
      esac
      ;;
    ready) set_state "$server" ready && forget "$server" ;;
    forget) forget "$server" ;;
    esac
    # The next look waits for a stopped or slow HAProxy, and makes the other changes.
    [ "${answer:-}" != 'no answer' ] && [ "$(date +%s)" -lt "$stop_at" ] || break
  done
}

# Prints "idle" for each drained server without sessions and queued requests, otherwise "busy".
find_idle_servers() {
  drained=$(printf '%s\n' "$changes" | grep '^drained ') || return 0
  ask_haproxy 'show stat -1 4 -1' || return
  case $answer in
  '# pxname,svname,qcur,qmax,scur,'*) ;;
  *) return 1 ;;
  esac
  printf '%s\n' "$drained" "$answer" | awk -F '[ ,]' '
    $1 == "drained" { instance[$2] = $3; next }
    $1 "/" $2 in instance && $3 == "0" && $5 == "0" { idle[$1 "/" $2] }
    END {
      for (server in instance) {
        print server in idle ? "idle" : "busy", instance[server]
        fflush()
      }
    }'
}

# Changes the servers of one HAProxy to match EC2. Reads their current state each time, because a reload or a restart
# may have undone earlier changes.
align() {
  ask_haproxy 'show servers state' || {
    complain_once "$socket: no answer; its servers stay as they are"
    return
  }
  # The columns are known only for version 1 of the answer.
  case $answer in
  '1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight '*' srv_check_state '*' srv_port '*) ;;
  *)
    complain_once "$socket: the answer to 'show servers state' is unknown; its servers stay as they are: $answer"
    return
    ;;
  esac
  servers=${answer#1?} answer=
  record=$(record_of "$socket") bad_record=
  [ -e "$record" ] || touch "$record" 2>/dev/null || complain_about_record
  changes=$({
    printf '# before\n%s\n# instances\n%s\n# recorded\n' "$previous" "$instances"
    cat "$record" 2>/dev/null
    # The last line of the record has no end if the disk became full.
    printf '\n%s\n' "$servers"
  } | compare)
  change_servers
  printf '%s\n' "$changes" | awk '/^(has|busy) / { print; fflush() }'
  if [ -n "$hook" ] && ! find_idle_servers; then
    complain_once "$socket: the sessions are not known: $answer"
    return
  fi
  echo answered
}

# --- Ending the wait ---

complete_wait() {
  if message=$(limit 10 aws autoscaling complete-lifecycle-action --instance-id "$1" "--auto-scaling-group-name=$2" \
    "--lifecycle-hook-name=$hook" --lifecycle-action-result CONTINUE 2>&1); then
    echo "$1: the wait has ended, because no HAProxy has a session with this instance" >&3
    echo "completed $1"
  else
    printf 'failed %s\n' "$(printf '%s' "${message:-no answer}" | tr -s '\n' ' ')"
  fi
}

# Ends at most five waits, because the next look has to wait for these calls.
complete_waits() {
  waiting=$(limit 10 aws autoscaling describe-auto-scaling-instances --output text --instance-ids "$@" \
    --query "AutoScalingInstances[?LifecycleState=='Terminating:Wait'].[InstanceId, AutoScalingGroupName]" 2>&1) || {
    complain_once "no wait can be ended: ${waiting:-no answer}"
    return
  }
  printf '%s\n' "$waiting" | grep '^i-' | sed 5q | {
    while IFS=$tab read -r id name; do complete_wait "$id" "$name" & done
    wait
  } | sort -u | while read -r result text; do
    case $result in
    completed) echo "completed $text" ;;
    failed) complain_once "a wait cannot be ended: $text" ;;
    esac
  done
}

# --- The main loop ---

# Prints the fields of the report's lines with this first word. Each text comes once, because a list is an argument of grep.
reported() {
  printf '%s\n' "$report" | sed -n "s/^$1 //p" | sort -u
}

# Prints the lines of the first text that are also in the second one.
both() {
  printf '%s\n' "$1" | grep -xF -e "$2" | sort -u
}

without() {
  printf '%s\n' "$1" | grep -vxF -e "$2"
}

# Prints a start for awk's random numbers. The default start is the time, which many machines share.
seed() {
  od -An -N4 -tu4 /dev/urandom
}

# Prints the lines in random order, so that an instance whose wait cannot be ended does not hold up the others.
shuffle() {
  awk -v seed="$(seed)" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort | cut -f 2
}

# Puts EC2's list into $instances.
list_instances() {
  row="^i-[0-9a-f]+${tab}[a-z-]+${tab}(un)?tagged${tab}[^$tab]+${tab}[^$tab]+\$"
  answer=$(ask_ec2 2>&1)
  status=$?
  # Warnings and errors of the AWS CLI, or the words of an answer that is not EC2's.
  others=$(printf '%s\n' "$answer" | grep -vE -e "$row" -e '^$')
  case $newline$others in *"${newline}i-"*) status=1 ;; esac
  if [ "$status" -ne 0 ]; then
    case $others in
    *RequestLimitExceeded* | *Throttl*)
      throttled=$((throttled + 1))
      [ "$throttled" -gt 1 ] || complain 'EC2 throttles the calls; the script asks less often until EC2 answers'
      return 1
      ;;
    esac
  fi
  [ -z "$others" ] || printf '%s\n' "$others" >&2
  if [ "$status" -ne 0 ]; then
    complain 'EC2 did not answer completely; nothing is changed'
    return 1
  fi
  throttled=0
  instances=$(printf '%s\n' "$answer" | grep -E -e "$row") && empty= && return
  # More likely a wrong name than a group that nobody needs.
  [ -n "$empty" ] || complain "EC2 lists no instance of $groups; nothing is changed"
  empty=yes
  false
}

# Names each tagged instance once that no HAProxy has a server for.
name_strangers() {
  known=$(both "$known$newline$(reported has)" "$tagged")
  for id in $(without "$tagged" "$known"); do
    complain "no HAProxy has a server for the tagged instance $id"
    known=$known$newline$id
  done
}

# Makes all HAProxies match EC2's list, and then ends waits during the pause.
look() {
  tagged=$(printf '%s\n' "$instances" | awk '$2 == "running" && $3 == "tagged" { print $1 }')
  idle_before=$idle
  idle=
  report=$(
    for socket; do align & done
    wait
  )
  # A silent HAProxy may have servers and sessions that the others do not have.
  if [ "$(printf '%s\n' "$report" | grep -cx answered)" -eq $# ]; then
    name_strangers
    idle=$(without "$(reported idle)" "$(reported busy)")
  fi
  candidates=$(without "$(both "$idle" "$idle_before")" "$completed" | shuffle | sed 50q)
  report=$report$newline$(
    # shellcheck disable=SC2086 # Ids have no spaces.
    [ -z "$candidates" ] || complete_waits $candidates &
    sleep "$interval" || exit
    wait
  ) || exit
  said=$(reported said)
  completed=$(both "$completed$newline$(reported completed)" "$tagged")
  previous=$instances
}

watch() {
  said='' previous='' known='' idle='' completed='' empty='' throttled=0
  # A script that was killed with SIGKILL cannot end this process.
  while kill -0 $$ 2>/dev/null && kill -0 "${STARTED_BY:-$$}" 2>/dev/null; do
    if list_instances; then
      look "$@"
    else
      idle=
      sleep "$(pause_after_error)" || exit
    fi
  done
}

# Prints seconds. Many scripts that EC2 throttles together must not ask again together.
pause_after_error() {
  LC_ALL=C awk -v interval="$interval" -v throttled="$throttled" -v seed="$(seed)" 'BEGIN {
    srand(seed)
    longest = throttled ? interval * 2 ^ throttled : 0
    print interval + rand() * (longest < 10 ? longest : 10)
  }'
}

# --- SIGTERM ends everything that the script has started ---

# A signal to a process group reaches all of its processes. The script leads its group under systemd and in an
# interactive shell. Otherwise a second script gets a group of its own.
if kill -0 "-$$" 2>/dev/null; then
  watch "$@" &
  group=$$
else
  command -v setsid >/dev/null || refuse 'setsid is not installed'
  STARTED_BY=$$ setsid sh "$0" "$groups" "$@" &
  group=$!
fi
trap 'trap - TERM; kill -TERM "-$group" $! $$' TERM INT HUP
wait $!
# Dash ends with status 2 when no process can be started. A restart helps then.
exit 1
