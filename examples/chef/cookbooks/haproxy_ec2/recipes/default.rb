include_recipe 'haproxy_ec2::aws_sdk'

settings = node['haproxy_ec2']
config = settings['config']
loaded = "#{config}.loaded"
servers = nil

# `lazy` asks EC2 just before Chef writes the file, because earlier recipes may take minutes. An error from EC2 or in
# the configuration ends the run before Chef changes the file.
configuration = template config do
  cookbook settings['template']['cookbook']
  source settings['template']['source']
  owner settings['owner']
  group settings['group']
  mode settings['mode']
  sensitive settings['sensitive']
  variables(lazy { { servers: servers ||= HaproxyEc2.servers(settings) } })
  verify settings['check_command']
end

service settings['service'] do
  reload_command settings['reload_command']
  action [:enable, :start]
end

# After a failed reload the template has nothing to change, so the record of the loaded configuration makes the next run
# repeat the reload. A why-run changes no file, so only the template knows of a change.
reload_due = lambda do
  configuration.updated_by_last_action? || !::File.exist?(loaded) || ::File.read(loaded) != HaproxyEc2.checksum(config)
end

notify_group "reload #{settings['service']}" do
  action :run
  only_if(&reload_due)
  notifies :reload, "service[#{settings['service']}]", :immediately
end

ruby_block 'wait until HAProxy runs the new configuration' do
  block { HaproxyEc2.wait_until_loaded(settings['stats_socket'], config, servers) }
  only_if { settings['stats_socket'] && reload_due.call }
end

file loaded do
  content(lazy { HaproxyEc2.checksum(config) })
  # In a why-run, the configuration may be missing.
  only_if { ::File.exist?(config) }
end
