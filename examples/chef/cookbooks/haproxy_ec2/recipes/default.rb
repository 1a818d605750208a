chef_gem 'aws-sdk-ec2' do
  compile_time true
end
require 'aws-sdk-ec2'

settings = node['haproxy_ec2']
ec2 = Aws::EC2::Client.new(**{ region: settings['region'] }.compact)

# EC2 is asked when it is this resource's turn, not before: other recipes may take minutes. An error there, or in the
# configuration, ends the run before the file is touched.
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

# The configuration that HAProxy has loaded. It is written after the reload, so that the next run repeats a reload that
# failed: to the template there is nothing left to do then.
file "#{settings['config']}.loaded" do
  content(lazy { "#{Chef::Digester.checksum_for_file(settings['config'])}\n" })
  notifies :reload, "service[#{settings['service']}]", :before
end
