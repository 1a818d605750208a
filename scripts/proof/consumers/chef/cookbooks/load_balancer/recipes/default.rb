include_recipe 'haproxy_ec2'

edit_resource!(:service, node['haproxy_ec2']['service']) do
  provider Chef::Provider::Service::Simple
  status_command 'true'
  action :nothing
end
