# HAProxy in front of the nodes with the role "web", without those whose instance carries the removal tag.
chef_gem 'aws-sdk-ec2' do
  compile_time true
end
require 'aws-sdk-ec2'

# An error here ends the run and leaves HAProxy as it is.
leaving = Aws::EC2::Client.new(region: node['ec2']['region']).describe_tags(
  filters: [
    { name: 'resource-type', values: ['instance'] },
    { name: 'key', values: ['remove_from_lb'] },
    { name: 'value', values: ['yes'] }
  ]
).flat_map { |page| page.tags.map(&:resource_id) }

servers = search(
  :node,
  "role:web AND chef_environment:#{node.chef_environment}",
  filter_result: { 'name' => ['name'], 'address' => ['ipaddress'], 'instance_id' => %w(ec2 instance_id) }
).reject { |server| leaving.include?(server['instance_id']) }.sort_by { |server| server['name'] }
raise 'no web server to keep: HAProxy is left as it is' if servers.empty?

template '/etc/haproxy/haproxy.cfg' do
  source 'haproxy.cfg.erb'
  variables servers: servers
  verify 'haproxy -c -f %{path}'
  notifies :reload, 'service[haproxy]'
end

service 'haproxy' do
  action [:enable, :start]
end
