sdk_version = node['haproxy_ec2']['sdk_version'] || HaproxyEc2.sdk_version

chef_gem HaproxyEc2::SDK do
  version sdk_version
  compile_time true
end

# Without a version, Ruby takes the newest installed one.
gem HaproxyEc2::SDK, sdk_version
require 'aws-sdk-ec2'
