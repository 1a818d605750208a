#!/bin/sh
# Prints the servers that belong into the load balancer, one a line: instance id, private address, port. They are the
# running instances of an Auto Scaling group that do not carry the removal tag. On any error it prints nothing and fails.
# Usage: servers-to-keep.sh AUTO-SCALING-GROUP
# TAG_KEY and TAG_VALUE are those of the function. PORT holds for instances without the tag HAProxy:Service:Port. Region
# and credentials are the AWS CLI's own.
set -eu
: "${1:?the name of an Auto Scaling group is missing}"
key=${TAG_KEY:-remove_from_lb}
value=${TAG_VALUE:-yes}
port=${PORT:-80}

servers=$(aws ec2 describe-instances --output text --page-size 1000 \
  --filters "Name=tag:aws:autoscaling:groupName,Values=\"$1\"" Name=instance-state-name,Values=running \
  --query "Reservations[].Instances[] | [?!(Tags[?Key=='$key' && Value=='$value'])].[
    InstanceId, PrivateIpAddress, Tags[?Key=='HAProxy:Service:Port'].Value | [0] || '$port']")

# An empty list is rather a mistake in the name or in the permissions than a group that nobody needs.
if [ -z "$servers" ]; then
  echo "servers-to-keep.sh: no server to keep in $1; leave the load balancer as it is" >&2
  exit 1
fi
echo "$servers"
