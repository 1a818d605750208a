# Chef Infra Client in local mode: without a Chef server, with the cookbooks that lie beside this file.
require 'aws-sdk-ec2'
# Loaded here and once; each run is a fork of this process.
Aws::EC2.const_get(:Client)

chef_repo_path __dir__
