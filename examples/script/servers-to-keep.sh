#!/bin/sh
# Prints the servers for the load balancer, one a line: instance id, private address, port. These are the running
# instances of the Auto Scaling groups without the removal tag. On any error, the script prints nothing and fails.
# Usage: servers-to-keep.sh AUTO-SCALING-GROUP[:AUTO-SCALING-GROUP...]
# TAG_KEY and TAG_VALUE must be those of the function. PORT is for instances without the tag HAProxy:Service:Port. The
# AWS CLI finds region and credentials.
set -eu
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
port=${PORT:-80}
limit=18

complain() {
  printf 'servers-to-keep.sh: %s\n' "$*" >&2
}

refuse() {
  complain "$@"
  exit 2
}

[ $# -eq 1 ] || refuse 'expected AUTO-SCALING-GROUP[:AUTO-SCALING-GROUP...]'
case :$1: in
*::* | *[[:cntrl:]\"]*) refuse "AUTO-SCALING-GROUP is '$1'; expected names, separated by colons, without double quotes" ;;
esac
# JMESPath cannot express every text with these characters.
case $key in *[\'\"\\]*) refuse "TAG_KEY is '$key'; expected a key without quotes and backslashes" ;; esac
case $value in *[\'\"\\]*) refuse "TAG_VALUE is '$value'; expected a value without quotes and backslashes" ;; esac
case $port in
*[!0-9]* | 0* | ??????*) refuse "PORT is '$port'; expected 1 to 65535" ;;
esac
[ "$port" -le 65535 ] || refuse "PORT is '$port'; expected 1 to 65535"

# Escapes the names for EC2, where * and ? are wildcards, and then for JSON.
groups=$(printf %s "$1" | sed 's/[*?\\]/\\&/g; s/\\/\\\\/g; s/:/","/g')

child='' answer=''
finish() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || :
  [ -z "$answer" ] || rm -f "$answer"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM
answer=$(mktemp)

# Many load balancers may ask at the same moment. The AWS CLI then tries again after random times.
export AWS_RETRY_MODE="${AWS_RETRY_MODE:-standard}" AWS_MAX_ATTEMPTS="${AWS_MAX_ATTEMPTS:-5}"
# to_string writes a tag's value as JSON: on one line, without tabs.
timeout "$limit" aws ec2 describe-instances --output text --page-size 1000 \
  --cli-connect-timeout 5 --cli-read-timeout 10 \
  --filters '[{"Name": "tag:aws:autoscaling:groupName", "Values": ["'"$groups"'"]},
    {"Name": "instance-state-name", "Values": ["running"]}]' \
  --query "Reservations[].Instances[] | [?!(Tags[?Key=='$key' && Value=='$value'])].[InstanceId,
    PrivateIpAddress || Ipv6Address || (NetworkInterfaces[].Ipv6Addresses[].Ipv6Address | [0]),
    to_string(Tags[?Key=='HAProxy:Service:Port'].Value)]" >"$answer" &
child=$!
status=0
# In the background, because the shell handles a signal only after a command in the foreground.
wait "$child" || status=$?
child=''
case $status in
0) ;;
# BusyBox's timeout ends with 143.
124 | 143) complain "EC2 did not answer within $limit s"; exit "$status" ;;
*) exit "$status" ;;
esac

# The text "None" stands for an absent value.
servers=$(LC_ALL=C awk -F '\t' -v port="$port" '
  function complain(text) { print "servers-to-keep.sh: " text | "cat >&2" }
  $1 !~ /^i-[0-9a-f]+$/ || NF != 3 {
    gsub(/[^ -~]/, "?")
    complain("the answer is not from EC2: it has the line \"" substr($0, 1, 100) "\"; expected an instance")
    exit 1
  }
  $2 !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/ && $2 !~ /^[0-9a-fA-F]*:[0-9a-fA-F:.]*$/ {
    gsub(/[^ -~]/, "?", $2)
    complain($1 " is left out: its address is " $2 "; expected an IPv4 or IPv6 address")
    next
  }
  $3 == "null" || $3 == "[]" || $3 == "[\"\"]" { print $1 "\t" $2 "\t" port; next }
  {
    tag = $3
    gsub(/^\["|"\]$/, "", tag)
    if (tag ~ /^[1-9][0-9]*$/ && tag + 0 <= 65535) print $1 "\t" $2 "\t" tag
    else complain($1 " is left out: its tag HAProxy:Service:Port is \"" tag "\"; expected 1 to 65535")
  }' "$answer")

# An empty list is more likely a wrong name or a missing permission than a group that nobody needs.
if [ -z "$servers" ]; then
  complain "no server to keep in $1; leave the load balancer as it is"
  exit 1
fi
printf '%s\n' "$servers"
