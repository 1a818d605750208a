chef_gem 'aws-sdk-ec2' do
  compile_time true
end
require 'aws-sdk-ec2'

settings = node['haproxy_ec2']
ec2 = Aws::EC2::Client.new(**{ region: settings['region'] }.compact)

# `lazy` asks EC2 just before Chef writes the file, because earlier recipes may take minutes. An error from EC2 or in
# the configuration ends the run before Chef changes the file.
template settings['config'] do
  cookbook settings['template']['cookbook']
  source settings['template']['source']
  variables(lazy { { servers: HaproxyEc2.servers(ec2, settings) } })
  verify settings['check_command']
end

service settings['service'] do
  reload_command settings['reload_command']
  action [:enable, :start]
end

# Records the configuration that HAProxy has loaded. After a failed reload the template has nothing to change, so this
# file makes the next run repeat the reload.
file "#{settings['config']}.loaded" do
  content(lazy { "#{Chef::Digester.checksum_for_file(settings['config'])}\n" })
  notifies :reload, "service[#{settings['service']}]", :before
end
