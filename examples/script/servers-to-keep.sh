#!/bin/sh
# Prints the servers for the load balancer, one a line: instance id, private address, port. These are the running
# instances of an Auto Scaling group without the removal tag. On any error, the script prints nothing and fails.
# Usage: servers-to-keep.sh AUTO-SCALING-GROUP
# TAG_KEY and TAG_VALUE must be those of the function. PORT is for instances without the tag HAProxy:Service:Port. The
# AWS CLI finds region and credentials.
set -eu
: "${1:?the name of an Auto Scaling group is missing}"
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
port=${PORT:-80}

servers=$(aws ec2 describe-instances --output text --page-size 1000 \
  --filters "Name=tag:aws:autoscaling:groupName,Values=\"$1\"" Name=instance-state-name,Values=running \
  --query "Reservations[].Instances[] | [?!(Tags[?Key=='$key' && Value=='$value'])].[
    InstanceId, PrivateIpAddress, Tags[?Key=='HAProxy:Service:Port'].Value | [0] || '$port']")

# An empty list is more likely a wrong name or a missing permission than a group that nobody needs.
if [ -z "$servers" ]; then
  echo "servers-to-keep.sh: no server to keep in $1; leave the load balancer as it is" >&2
  exit 1
fi
echo "$servers"
