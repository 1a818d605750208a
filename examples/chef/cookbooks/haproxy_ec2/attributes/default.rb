# The tag of the instances behind HAProxy: the tag of an Auto Scaling group, or of a role. One value, or an array of values.
default['haproxy_ec2']['member_tag']['key'] = 'aws:autoscaling:groupName'
default['haproxy_ec2']['member_tag']['value'] = nil

# The tag that takes an instance out: the function's TAG_KEY and TAG_VALUE.
default['haproxy_ec2']['removal_tag']['key'] = 'remove_from_lb'
default['haproxy_ec2']['removal_tag']['value'] = 'yes'

# Ohai finds the region on EC2. Without a region, the AWS SDK decides (AWS_REGION, ~/.aws/config).
default['haproxy_ec2']['region'] = node.read('ec2', 'region')

default['haproxy_ec2']['port'] = 80

default['haproxy_ec2']['config'] = '/etc/haproxy/haproxy.cfg'
# HAProxy's master reads the configuration as root. Without an owner and a group, a file keeps its own; a new file gets
# those of Chef.
default['haproxy_ec2']['owner'] = nil
default['haproxy_ec2']['group'] = nil
default['haproxy_ec2']['mode'] = '0640'
# The configuration may hold passwords.
default['haproxy_ec2']['sensitive'] = true
default['haproxy_ec2']['template']['cookbook'] = 'haproxy_ec2'
default['haproxy_ec2']['template']['source'] = 'haproxy.cfg.erb'
default['haproxy_ec2']['check_command'] = 'haproxy -c -f "%{path}"'

default['haproxy_ec2']['service'] = 'haproxy'
default['haproxy_ec2']['reload_command'] = nil
default['haproxy_ec2']['stats_socket'] = nil

# Without a version: the newest one that fits the loaded aws-sdk-core.
default['haproxy_ec2']['sdk_version'] = nil
